VENV ?= .venv
.PHONY: test
$(VENV)/.ready: setup.cfg constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[dev]'
	touch $@
test: $(VENV)/.ready
	$(VENV)/bin/python -m pytest
