/* One event line: `<monotonic seconds> <gpu or *> <key> <value…>`. */
#define _GNU_SOURCE
#include "tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each letter of `values` takes one word: i integer, d number, F function, k "kmsg_only" or
 * nothing, a integer or "auto", s off or on, 0 one of `words` by its place there. Integers are
 * stored under their position among all values, so an error's code is integers[1]. */
static const struct { const char *name, *values; const char *const *words; } grammar[KEYS] = {
    [K_LOAD] = {"load", "d", NULL},
    [K_POWER_LIMIT] = {"power_limit", "d", NULL},
    [K_TEMPERATURE] = {"temperature", "d", NULL},
    [K_THROTTLE] = {"throttle", "0s",
                    (const char *const[]){"hw_thermal", "sw_thermal", "power_brake",
                                          "hw_slowdown", NULL}},
    [K_MEMORY_USED] = {"memory_used", "a", NULL},
    [K_LOST] = {"lost", "s", NULL},
    [K_RESET_REQUIRED] = {"reset_required", "s", NULL},
    [K_RESET_ENERGY] = {"reset_energy", "", NULL},
    [K_ECC] = {"ecc", "0i", (const char *const[]){"corrected", "uncorrected", NULL}},
    [K_REMAP] = {"remap", "0i",
                 (const char *const[]){"correctable", "uncorrectable", "pending", "failure",
                                       NULL}},
    [K_RECOVERY_ACTION] = {"recovery_action", "i", NULL},
    [K_FABRIC] = {"fabric", "0i",
                  (const char *const[]){"state", "status", "clique", "mask", "summary", NULL}},
    [K_XID] = {"xid", "ik", NULL},
    [K_PROCESS] = {"process", "ii", NULL},
    [K_PROCESS_IN] = {"process_in", "iiii", NULL},
    [K_PROCESS_GONE] = {"process_gone", "i", NULL},
    [K_NVLINK] = {"nvlink", "iii", NULL},
    [K_C2C] = {"c2c", "iii", NULL},
    [K_HANG] = {"hang", "Fd", NULL},
    [K_SLOW] = {"slow", "Fd", NULL},
    [K_ERROR] = {"error", "Fi", NULL},
    [K_DENIED] = {"denied", "F", NULL},
    [K_DRIVER] = {"driver", "0", (const char *const[]){"gone", "back", NULL}},
    [K_VERSION_MISMATCH] = {"version_mismatch", "s", NULL},
};

static int place(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    return -1;
}

static bool integer(const char *word, int64_t *out)
{
    char *end;
    *out = strtoll(word, &end, 0);
    return end != word && *end == '\0';
}

static bool number(const char *word, double *out)
{
    char *end;
    *out = strtod(word, &end);
    return end != word && *end == '\0' && isfinite(*out);
}

static bool take(struct event *event, int position, char kind, const char *word)
{
    static const char *const switches[] = {"off", "on", NULL};
    int64_t *slot = &event->integers[position];
    switch (kind) {
    case 'i':
        return integer(word, slot);
    case 'a':
        *slot = -1;
        return !strcmp(word, "auto") || integer(word, slot);
    case 'd':
        return number(word, &event->number);
    case 's':
        return (*slot = place(switches, word)) >= 0;
    case '0':
        return (*slot = place(grammar[event->key].words, word)) >= 0;
    case 'k':
        *slot = 1;
        return !strcmp(word, "kmsg_only");
    default:
        if (strlen(word) >= sizeof event->function)
            return false;
        strcpy(event->function, word);
        return true;
    }
}

static bool key_named(const char *word, enum key *key)
{
    for (int i = 0; word && i < KEYS; i++)
        if (!strcmp(grammar[i].name, word)) {
            *key = (enum key)i;
            return true;
        }
    return false;
}

static bool gpu_named(const struct config *config, const char *word, int *gpu)
{
    int64_t index;
    *gpu = EVERY_GPU;
    if (!word)
        return false;
    if (!strcmp(word, "*"))
        return true;
    if (!integer(word, &index) || index < 0 || index >= config->gpus)
        return false;
    *gpu = (int)index;
    return true;
}

/* Parses one line, which it cuts up; false when it is not a valid event. */
bool event_line(const struct config *config, char *line, struct event *event)
{
    char *rest = NULL, *word = strtok_r(line, " \t", &rest);
    double seconds;
    memset(event, 0, sizeof *event);
    if (!word || !number(word, &seconds))
        return false;
    event->at = llround(seconds * (double)SECOND);
    if (!gpu_named(config, strtok_r(NULL, " \t", &rest), &event->gpu))
        return false;
    if (!key_named(strtok_r(NULL, " \t", &rest), &event->key))
        return false;
    const char *values = grammar[event->key].values;
    for (int i = 0; values[i]; i++) {
        word = strtok_r(NULL, " \t", &rest);
        if (!word && values[i] == 'k')
            return true;
        if (!word || !take(event, i, values[i], word))
            return false;
    }
    return strtok_r(NULL, " \t", &rest) == NULL;
}
