# placeholder; the whole Makefile comes with the first working state
build:
	swift build
