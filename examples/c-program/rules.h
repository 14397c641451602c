/* rules.h: a small language for rules, whose files tools see as code.
 *
 * A file has rules, one statement a line; # begins a comment:
 *
 *     rule NAME
 *         set FIELD VALUE
 *         if FIELD = VALUE        also !=, < and >, which compare numbers
 *             call NAME
 *         else
 *             fail TEXT
 *         end
 *     end
 *
 * A run begins with the rule "main" and works on a record: fields and their values.
 */
#ifndef RULES_H
#define RULES_H

#include <stddef.h>

enum { RULES_MAX_FIELDS = 16, RULES_MAX_TEXT = 64, RULES_MAX_ERROR = 256 };

typedef struct rules rules;

typedef struct {
    int count;
    struct {
        char name[RULES_MAX_TEXT], value[RULES_MAX_TEXT];
    } fields[RULES_MAX_FIELDS];
} record;

/* Reads a file. NULL, and a text in `error`, if there is something wrong with it. */
rules *rules_load(const char *path, char error[RULES_MAX_ERROR]);
void rules_free(rules *loaded);

/* How many rules there are, and what each is to a tool. */
int rules_count(const rules *loaded);
void *rules_code(const rules *loaded, int index);

/* Runs "main" on a record. -1, and a text in `error`, if a rule failed. */
int rules_run(rules *loaded, record *subject, char error[RULES_MAX_ERROR]);

/* A field's value; "" if the record has no such field. */
const char *record_get(const record *subject, const char *name);
/* -1: there is no room, or the name or the value is too long. */
int record_set(record *subject, const char *name, const char *value);

#endif
