// A shared library, but of no variants.

extern "C" __attribute__((visibility("default"))) int something_else() { return 1; }
