#include "demangle.h"
void memtrack_demangle_placeholder(void) {}
