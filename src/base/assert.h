/* Asserts stay on in release: they stop the program on a broken invariant, never on input. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

void assert_failed(const char *expr, const char *file, int line, const char *func) __attribute__((noreturn));

#define ASSERT(x)     ((x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__, __func__))
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__, __func__)

/* Long-lived structs start with a magic number that is checked where they enter a module. */
#define CHECK_MAGIC(obj, m) ASSERT((obj) != NULL && (obj)->magic == (m))

#endif
