// SPDX-License-Identifier: Apache-2.0
// A library whose class nobody else knows, for objects.cpp: built with hidden visibility, and stripped.
namespace plugin {
struct Part {
    virtual ~Part() = default;
    virtual int weight() const { return 1; }
};
struct Widget : Part {
    char *label = new char[100];
    ~Widget() override { delete[] label; }
};
} // namespace plugin

extern "C" __attribute__((visibility("default"))) void *plugin_make() { return new plugin::Widget; }
