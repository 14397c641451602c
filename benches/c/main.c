/* The main benchmark program: rmon's rows and their anchors. */
#include "rows.h"

#include <rmon.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const struct bench_row *const tables[] = {
        limits_rows, scope_rows, pic_rows, quiet_rows, fire_rows, threads_rows, synchronize_rows, cold_rows,
        NULL,
    };
    if (argc == 2 && strcmp(argv[1], "version") == 0)
        return puts(rmon_version()) < 0;
    return bench_main(argc, argv, tables);
}
