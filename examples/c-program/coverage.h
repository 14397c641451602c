/* coverage.h: which lines and branches of codes have run. It knows of rmon and of nothing else. */
#ifndef COVERAGE_H
#define COVERAGE_H

/* Claims the coverage tool's id. 0, or a negative rmon status. */
int coverage_begin(void);
/* Watches a code, which must live until coverage_end. 0, or a negative rmon status. */
int coverage_watch(void *code);
/* Prints what has run of each file, and gives the id back. */
void coverage_end(void);

#endif
