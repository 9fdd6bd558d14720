#include "memtrack_spawn.h"
void memtrack_spawn_placeholder(void) {}
