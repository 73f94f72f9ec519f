/* Functions that this tree does not use, made compile errors: each has a bounded or re-entrant
 * replacement. Included by the compiler before every file of src/ and tests/.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca /* a macro of glibc's */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll
#pragma GCC poison gmtime localtime ctime asctime alloca srand tmpnam mktemp
/* A parameter of OpenSSL's has this name, so the word itself cannot be poisoned. */
int rand(void) __attribute__((deprecated("use sys->random")));

#endif
