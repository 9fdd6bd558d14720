# memtrack-preload: what to type.
#
#   make demo      build, then profile a real program and read the report
#   make test      build and run all tests
#   make test-exports   the exports in a browser, dh_view, DuckDB and ClickHouse (installs these; a minute)
#   make bench     measure what the shim costs, beside its peers (long; bench-quick: under three minutes)
#   make bench-python   Python programs with object types and Python stacks, beside memray and tracemalloc (ten minutes)
#   make fuzz      libFuzzer over region files and profile files, each for FUZZ_SECONDS=1800
#   make soak      everything at once with a reader attached, for SOAK_SECONDS=600 (ten seconds of it in test); the
#                  shared tables under ThreadSanitizer and valgrind
#   make many      configure and make -j2 of GNU hello bare, preloaded and launched: the same files; prints the times
#   make matrix    112 real commands bare, preloaded and launched: the same output and status (installs what it runs)
#   make bench-instructions   count instructions of a malloc+free pair, compare with the kept figures (part of test)
#   make bench-reader   what the reader costs: snapshots, checkpoints, names, start; and memory, per event and per thread
#   make bench-verify   counts and stacks of every workload of the bench against independent ones
#   make install   PREFIX=/usr/local DESTDIR=
#
# Each target installs the Debian packages it lacks (it says which; needs root or sudo, and apt).
# Everything lands in build/, laid out as it installs.

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 1800
SOAK_SECONDS ?= 600
BUILD := build
LIBRARY := $(BUILD)/lib/memtrack/libmemtrack_preload.so
PROGRAMS := $(BUILD)/bin/memtrack-preload $(BUILD)/bin/memtrack

CC ?= cc
# Frame pointers: the hooks find their caller's frame through theirs (CShim/src/stacks.h). -z now: nothing in a
# hook may enter the lazy binder. -z nodelete: the target may not unload us.
SHIM_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Werror -fPIC -fvisibility=hidden \
    -ftls-model=initial-exec -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free \
    -fno-omit-frame-pointer -fasynchronous-unwind-tables -fexceptions -ICShim/include -ICShim/src
SHIM_LDFLAGS := -shared -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -Wl,--as-needed -Wl,--build-id \
    -Wl,--sort-section=name
SHIM_SOURCES := $(wildcard CShim/src/*.c)
SHIM_OBJECTS := $(SHIM_SOURCES:CShim/src/%.c=$(BUILD)/shim/%.o)

SWIFT_RELEASE := swift build -c release --static-swift-stdlib
SWIFT_SOURCES := $(shell find Sources -name '*.swift' -o -name '*.c' -o -name '*.h') Package.swift \
    CShim/include/memtrack/region.h

.PHONY: all build deps test-deps exports-deps demo-deps bench-deps shim test test-shim test-swift test-instructions \
    test-matrix test-exports matrix fuzz soak many bench bench-quick bench-python bench-instructions bench-verify \
    bench-reader demo install lint clean

all: build
build: $(LIBRARY) $(PROGRAMS)
shim: $(LIBRARY)

deps:
	@Tests/Scripts/packages build
test-deps:
	@Tests/Scripts/packages build test
exports-deps:
	@Tests/Scripts/packages build exports
demo-deps:
	@Tests/Scripts/packages build demo
bench-deps:
	@Tests/Scripts/packages build bench

# The short hooks of CPython make no frame.
$(BUILD)/shim/python_hooks.o: SHIM_CFLAGS += -fomit-frame-pointer

$(BUILD)/shim/%.o: CShim/src/%.c | deps
	@mkdir -p $(@D)
	@$(CC) $(SHIM_CFLAGS) -MMD -MP -c $< -o $@

$(LIBRARY): $(SHIM_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(SHIM_OBJECTS) $(SHIM_LDFLAGS) -o $@

$(PROGRAMS) &: $(SWIFT_SOURCES) | deps
	@mkdir -p $(BUILD)/bin
	@echo "Building the reader (a few minutes the first time) ..."
	$(SWIFT_RELEASE) --product memtrack-preload
	$(SWIFT_RELEASE) --product memtrack
	@bin=$$($(SWIFT_RELEASE) --show-bin-path) && \
	    install -m 755 "$$bin/memtrack-preload" "$$bin/memtrack" $(BUILD)/bin/ && \
	    strip $(PROGRAMS)

test: test-deps test-shim test-instructions test-swift test-matrix

test-shim: $(LIBRARY) | test-deps
	$(MAKE) -C Tests/Shim check check-threads

# Instructions of a malloc+free pair, against the figures kept in Tests/Bench/instructions.json.
test-instructions: $(LIBRARY) | test-deps
	Tests/Bench/check_instructions

test-swift: build | test-deps
	swift test

test-exports: build exports-deps
	Tests/Exports/run

test-matrix: build | test-deps
	Tests/Matrix/run --light

fuzz: | deps
	Tests/Scripts/fuzz region $(FUZZ_SECONDS)
	Tests/Scripts/fuzz profile $(FUZZ_SECONDS)

soak: build | test-deps
	$(MAKE) -C Tests/Shim check-threads
	SOAK_SECONDS=$(SOAK_SECONDS) swift test --filter SoakTests

many: build | test-deps
	Tests/Many/run

matrix: build
	@Tests/Scripts/packages build test matrix
	Tests/Matrix/run

bench: build bench-deps
	Tests/Bench/run

bench-quick: build bench-deps
	Tests/Bench/run --quick

bench-python: build bench-deps
	Tests/Bench/run --python

bench-instructions: $(LIBRARY) | bench-deps
	Tests/Bench/check_instructions

bench-verify: build bench-deps
	python3 -B Tests/Bench/verify.py

bench-reader: build bench-deps
	$(SWIFT_RELEASE) --product reader-bench
	python3 -B Tests/Bench/reader.py

demo: build demo-deps
	@Tests/Scripts/demo

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/memtrack" "$(DESTDIR)$(PREFIX)/include/memtrack"
	install -m 755 $(PROGRAMS) "$(DESTDIR)$(PREFIX)/bin/"
	install -m 755 $(LIBRARY) "$(DESTDIR)$(PREFIX)/lib/memtrack/"
	install -m 644 CShim/include/memtrack/memtrack.h CShim/include/memtrack/region.h \
	    "$(DESTDIR)$(PREFIX)/include/memtrack/"

lint: test-deps
	swift format lint --strict --recursive Sources Tests Package.swift
	shellcheck Tests/Scripts/* Tests/Bench/run Tests/Exports/run .ci/run

clean:
	rm -rf $(BUILD) .build

-include $(SHIM_OBJECTS:.o=.d)
