// Includes the interface and registers nothing.

#include "subquad/registry.h"
