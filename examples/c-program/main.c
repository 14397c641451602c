/* main.c: applies rules to the records of a file, a record a line: FIELD=VALUE FIELD=VALUE ... With --coverage it then
 * says which of the rules' lines have run. */
#include "coverage.h"
#include "rules.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LINE = 512 };

static int read_record(char *text, record *made)
{
    char *field, *value;
    made->count = 0;
    for (field = strtok(text, " \n"); field != NULL; field = strtok(NULL, " \n")) {
        value = strchr(field, '=');
        if (value == NULL)
            return -1;
        *value++ = '\0';
        if (record_set(made, field, value) < 0)
            return -1;
    }
    return 0;
}

static int apply(rules *loaded, FILE *file)
{
    char text[MAX_LINE], error[RULES_MAX_ERROR];
    record subject;
    int number;
    for (number = 1; fgets(text, sizeof text, file) != NULL; number++) {
        if (read_record(text, &subject) < 0) {
            fprintf(stderr, "record %d is not understood\n", number);
            return -1;
        }
        if (rules_run(loaded, &subject, error) < 0)
            printf("%d: %s\n", number, error);
        else
            printf("%d: by %s for %s\n", number, record_get(&subject, "carrier"), record_get(&subject, "price"));
    }
    return 0;
}

static int watch(const rules *loaded)
{
    int i, status = coverage_begin();
    for (i = 0; status == 0 && i < rules_count(loaded); i++)
        status = coverage_watch(rules_code(loaded, i));
    return status;
}

int main(int argc, char **argv)
{
    char error[RULES_MAX_ERROR];
    int covers = argc > 1 && strcmp(argv[1], "--coverage") == 0;
    int status = 0;
    rules *loaded;
    FILE *file;
    if (argc - covers != 3) {
        fprintf(stderr, "usage: dispatch [--coverage] RULES RECORDS\n");
        return 2;
    }
    loaded = rules_load(argv[1 + covers], error);
    if (loaded == NULL) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    file = fopen(argv[2 + covers], "r");
    if (file == NULL) {
        fprintf(stderr, "cannot read %s\n", argv[2 + covers]);
        status = 1;
    } else {
        if (covers && watch(loaded) < 0) {
            fprintf(stderr, "there is another coverage tool, or no memory\n");
            status = 1;
        }
        if (status == 0 && apply(loaded, file) < 0)
            status = 1;
        if (covers)
            coverage_end();
        fclose(file);
    }
    rules_free(loaded);
    return status;
}
