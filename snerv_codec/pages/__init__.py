"""Pages to look at results with: HTML that needs no other file and no network.

`document` lays out headings, paragraphs, tables and figures; `plot` draws lines as SVG in the page's colours; `compare`
puts two pictures, or two halves of a video, under a slider. `result` makes the page of one encode of them.
"""
