// worked.cpp with one pass in ten more: the same output, the same memory.
#define SUBQUAD_PASSES 44
#include "worked.cpp"
