/* Rows of a file of LOAD DATA to their shards: where each ends, its key, its slot.

   Here as by the expressions of executor/file_rows.py, which say what a row is. Looked at are only
   rows that are whole, and whose key stands in the file as it is hashed: a plain whole number, or
   text in ASCII. The first other row ends it. */

#include "_relay.h"

#include <stdlib.h>

enum { CUT = -1, NOTHING, FIELD, ROW }; /* what ends at a place; CUT: the bytes do not tell yet */
enum { INSIDE = 1, OUTSIDE = 2, SKIPPED = 4 }; /* where a byte has a meaning */

typedef struct {
    const char *text;
    Py_ssize_t size;
} Text;

typedef struct {
    const char *data;
    Py_ssize_t size;
    Text term, end;
    int quote, escape; /* -1: there is none */
    Py_ssize_t width, key_at;
    Py_ssize_t digits;  /* the key is a whole number of fewer digits; 0: it is text */
    Py_ssize_t lowest;  /* that number */
    Py_ssize_t longest; /* of a text; 0: any */
    unsigned char meanings[256];
    Text key; /* of the row that was read; no text: it is not known here */
    unsigned long long highest;
} Reader;

typedef struct {
    Py_ssize_t end;
    uint16_t owner;
} Row;

static inline int
means(const Reader *reader, Py_ssize_t at, int where)
{
    return reader->meanings[(unsigned char)reader->data[at]] & where;
}

static int
stands_at(const Reader *reader, Py_ssize_t at, const Text *text)
{
    Py_ssize_t left = reader->size - at, size = left < text->size ? left : text->size;
    if (memcmp(reader->data + at, text->text, size) != 0)
        return 0;
    return size == text->size ? 1 : CUT;
}

static int
terminator_at(const Reader *reader, Py_ssize_t at)
{
    int found = stands_at(reader, at, &reader->end);
    if (found != 0)
        return found == 1 ? ROW : CUT;
    return stands_at(reader, at, &reader->term);
}

static inline Py_ssize_t
behind(const Reader *reader, Py_ssize_t at, int ended)
{
    return at + (ended == ROW ? reader->end.size : reader->term.size);
}

/* Reads on to the end of a field, and steps behind its terminator; `is_literal`: its text stands
   for itself. */
static int
read_field(const Reader *reader, Py_ssize_t *place, Text *field, int *is_literal, int *is_quoted)
{
    Py_ssize_t at = *place, start;
    *is_literal = 1;
    *is_quoted = at < reader->size && reader->data[at] == reader->quote && reader->quote >= 0;
    int where = *is_quoted ? INSIDE : OUTSIDE;
    start = at += *is_quoted;
    for (;;) {
        while (at < reader->size && !means(reader, at, where))
            at++;
        if (at >= reader->size)
            return CUT;
        if (reader->data[at] == reader->escape && reader->escape >= 0) {
            *is_literal = 0;
            at += 2;
            continue;
        }
        if (*is_quoted) {
            if (at + 1 == reader->size)
                return CUT;
            if (reader->data[at + 1] == reader->quote) {
                *is_literal = 0;
                at += 2;
                continue;
            }
        }
        int ended = terminator_at(reader, at + *is_quoted);
        if (ended == CUT)
            return CUT;
        if (ended != NOTHING) {
            field->text = reader->data + start;
            field->size = at - start;
            *place = behind(reader, at + *is_quoted, ended);
            return ended;
        }
        at++;
    }
}

static int
is_plain_number(Reader *reader, const Text *key)
{
    unsigned long long value = 0;
    if (key->size == 0 || key->size >= reader->digits || (key->text[0] == '0' && key->size > 1))
        return 0;
    for (Py_ssize_t i = 0; i < key->size; i++) {
        if (key->text[i] < '0' || key->text[i] > '9')
            return 0;
        value = value * 10 + (key->text[i] - '0');
    }
    if (value < (unsigned long long)reader->lowest)
        return 0;
    if (value > reader->highest)
        reader->highest = value;
    return 1;
}

static int
is_plain_text(const Reader *reader, const Text *key, int is_quoted)
{
    if (key->size == 0 || (reader->longest > 0 && key->size > reader->longest) ||
        key->text[key->size - 1] == ' ')
        return 0;
    if (!is_quoted && reader->quote >= 0 && key->size == 4 && memcmp(key->text, "NULL", 4) == 0)
        return 0;
    for (Py_ssize_t i = 0; i < key->size; i++)
        if ((unsigned char)key->text[i] >= 0x80)
            return 0;
    return 1;
}

/* What is behind the last field that a statement has a column for. */
static int
skip_line(const Reader *reader, Py_ssize_t *place)
{
    Py_ssize_t at = *place;
    for (;;) {
        while (at < reader->size && !means(reader, at, SKIPPED))
            at++;
        if (at >= reader->size)
            return CUT;
        if (reader->data[at] == reader->escape && reader->escape >= 0) {
            at += 2;
            continue;
        }
        int found = stands_at(reader, at, &reader->end);
        if (found == CUT)
            return CUT;
        if (found) {
            *place = at + reader->end.size;
            return ROW;
        }
        at++;
    }
}

static int
read_row(Reader *reader, Py_ssize_t *place)
{
    reader->key.text = NULL;
    for (Py_ssize_t index = 0; index < reader->width; index++) {
        Text field;
        int is_literal, is_quoted;
        int ended = read_field(reader, place, &field, &is_literal, &is_quoted);
        if (ended == CUT)
            return CUT;
        if (index == reader->key_at && is_literal &&
            (reader->digits > 0 ? is_plain_number(reader, &field)
                                : is_plain_text(reader, &field, is_quoted)))
            reader->key = field;
        if (ended == ROW)
            return ROW;
    }
    return skip_line(reader, place);
}

static void
mark(Reader *reader, int character, int where)
{
    if (character >= 0)
        reader->meanings[character] |= where;
}

/* The bytes of each shard, one row behind the other. */
static PyObject *
parts_of(const Reader *reader, Py_ssize_t start, const Row *rows, Py_ssize_t count,
         Py_ssize_t shards)
{
    Py_ssize_t *sizes = calloc(shards, sizeof *sizes);
    char **places = calloc(shards, sizeof *places);
    PyObject *parts = PyList_New(shards);
    if (sizes == NULL || places == NULL) {
        PyErr_NoMemory();
        Py_CLEAR(parts);
    }
    Py_ssize_t at = start;
    for (Py_ssize_t i = 0; parts != NULL && i < count; at = rows[i++].end)
        sizes[rows[i].owner] += rows[i].end - at;
    for (Py_ssize_t i = 0; parts != NULL && i < shards; i++) {
        PyObject *part = PyBytes_FromStringAndSize(NULL, sizes[i]);
        if (part == NULL) {
            Py_CLEAR(parts);
            break;
        }
        places[i] = PyBytes_AsString(part);
        PyList_SetItem(parts, i, part);
    }
    at = start;
    for (Py_ssize_t i = 0; parts != NULL && i < count; at = rows[i++].end) {
        memcpy(places[rows[i].owner], reader->data + at, rows[i].end - at);
        places[rows[i].owner] += rows[i].end - at;
    }
    free(sizes);
    free(places);
    return parts;
}

static PyObject *
owners_of(const Row *rows, Py_ssize_t count)
{
    PyObject *owners = PyBytes_FromStringAndSize(NULL, count * sizeof(uint16_t));
    char *at = owners != NULL ? PyBytes_AsString(owners) : NULL;
    for (Py_ssize_t i = 0; at != NULL && i < count; i++, at += sizeof(uint16_t))
        memcpy(at, &rows[i].owner, sizeof(uint16_t));
    return owners;
}

/* See plain.py. */
PyObject *
divide(PyObject *module, PyObject *arguments)
{
    Reader reader = {0};
    Text owners;
    Py_ssize_t shards, start, count = 0, room = 0;
    Row *rows = NULL;
    if (!PyArg_ParseTuple(arguments, "(y#y#iinnnnny#n)y#n", &reader.term.text, &reader.term.size,
                          &reader.end.text, &reader.end.size, &reader.quote, &reader.escape,
                          &reader.width, &reader.key_at, &reader.digits, &reader.lowest,
                          &reader.longest, &owners.text, &owners.size, &shards, &reader.data,
                          &reader.size, &start))
        return NULL;
    Py_ssize_t slots = owners.size / (Py_ssize_t)sizeof(uint16_t);
    if (reader.term.size == 0 || reader.end.size == 0 || slots == 0 || (slots & (slots - 1)) ||
        start < 0 || shards <= 0 || reader.quote > 127 || reader.escape > 127) {
        PyErr_SetString(PyExc_ValueError, "these options are not divided by here");
        return NULL;
    }
    mark(&reader, reader.quote, INSIDE);
    mark(&reader, reader.escape, INSIDE | OUTSIDE | SKIPPED);
    mark(&reader, (unsigned char)reader.end.text[0], OUTSIDE | SKIPPED);
    mark(&reader, (unsigned char)reader.term.text[0], OUTSIDE);
    Py_ssize_t at = start;
    while (at < reader.size) {
        Py_ssize_t end = at;
        unsigned long long highest = reader.highest;
        if (read_row(&reader, &end) == CUT || reader.key.text == NULL) {
            reader.highest = highest;
            break;
        }
        if (count == room) {
            room = 2 * room + 256;
            Row *more = realloc(rows, room * sizeof *rows);
            if (more == NULL) {
                free(rows);
                return PyErr_NoMemory();
            }
            rows = more;
        }
        uint32_t slot = crc32_of((const unsigned char *)reader.key.text, reader.key.size);
        memcpy(&rows[count].owner, owners.text + (slot & (slots - 1)) * sizeof(uint16_t),
               sizeof(uint16_t));
        if (rows[count].owner >= shards) {
            reader.highest = highest;
            break;
        }
        rows[count++].end = at = end;
    }
    PyObject *parts = parts_of(&reader, start, rows, count, shards);
    PyObject *shards_of_rows = owners_of(rows, count);
    free(rows);
    PyObject *found = NULL;
    if (parts != NULL && shards_of_rows != NULL)
        found = Py_BuildValue("(OOnK)", parts, shards_of_rows, at, reader.highest);
    Py_XDECREF(parts);
    Py_XDECREF(shards_of_rows);
    return found;
}
