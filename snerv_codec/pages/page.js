"use strict";
for (const stage of document.querySelectorAll(".stage")) {
  const slider = stage.querySelector("input");
  const move = () => stage.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", move);
  move();
}
for (const picks of document.querySelectorAll(".picks")) {
  const stages = picks.parentElement.querySelectorAll(".stage");
  picks.addEventListener("change", event => {
    stages.forEach((stage, i) => { stage.hidden = i !== Number(event.target.value); });
  });
}
// A clip is one video with the original on its left half and the decoded on its right: they cannot get out of step.
for (const clip of document.querySelectorAll(".clip")) {
  const video = clip.querySelector("video"), button = clip.querySelector("button");
  const canvases = [...clip.querySelectorAll("canvas")];
  const draw = () => canvases.forEach((canvas, half) => {
    const { width, height } = canvas;
    canvas.getContext("2d").drawImage(video, half * width, 0, width, height, 0, 0, width, height);
  });
  const follow = () => { draw(); if (!video.paused) requestAnimationFrame(follow); };
  video.addEventListener("loadeddata", () => { clip.hidden = false; draw(); });
  video.addEventListener("seeked", draw);
  video.addEventListener("play", () => { button.textContent = "Pause"; follow(); });
  video.addEventListener("pause", () => { button.textContent = "Play"; });
  button.addEventListener("click", () => (video.paused ? video.play() : video.pause()));
  if (video.readyState >= 2) { clip.hidden = false; draw(); }
}
