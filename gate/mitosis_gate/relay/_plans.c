/* From the text of a plain statement to its plan, and what a plan says. */

#include "_relay.h"

static uint32_t crc_table[256];

void
fill_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
        crc_table[i] = crc;
    }
}

uint32_t
crc32_of(const unsigned char *bytes, Py_ssize_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (Py_ssize_t i = 0; i < size; i++)
        crc = crc_table[(crc ^ bytes[i]) & 0xFF] ^ (crc >> 8);
    return crc ^ 0xFFFFFFFFu;
}

static int
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$';
}

static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Where the name that begins at `at` ends, with its qualifiers; NULL: it is not a plain one. */
static const char *
end_of_name(const char *at, const char *end)
{
    while (at < end && is_name(*at))
        at++;
    if (at < end && *at == '.') {
        if (at + 1 == end || is_digit(at[1]) || !(is_name(at[1]) || at[1] == '*' || at[1] == '`'))
            return NULL;
        return at[1] == '*' || at[1] == '`' ? at + 1 : end_of_name(at + 1, end);
    }
    if (at < end && (*at == '\'' || *at == '@' || (unsigned char)*at >= 0x80))
        return NULL; /* an introducer, or no plain name */
    return at;
}

/* Where the literal or name in quotes ends; NULL: it holds what must be read with care. */
static const char *
end_of_quoted(const char *at, const char *end)
{
    char quote = *at++;
    while (at < end && *at != quote && *at != '\\' && *at != 0)
        at++;
    if (at == end || *at != quote || (at + 1 < end && at[1] == quote))
        return NULL;
    return at + 1;
}

static const char *
end_of_number(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    if (at < end && (is_name(*at) || *at == '.' || *at == '@' || *at == '\'' ||
                     (unsigned char)*at >= 0x80))
        return NULL;
    return at;
}

/* Whether the statement is plain: names, whole numbers, texts in single quotes and a few signs, so
   that planner.lexer cuts it at the same places whatever the literals are. Lists behind IN are cut
   otherwise there; whoever remembers a plan by a shape compares the literals first. */
int
read_shape(const char *at, Py_ssize_t size, Shape *shape)
{
    static const char signs[] = " \t\n=<>(),*+;%!";
    const char *end = at + size;
    shape->size = shape->count = 0;
    if (size > LONGEST)
        return 0;
    while (at < end) {
        const char *next = at + 1;
        int is_literal = is_digit(*at) || *at == '\'';
        if (is_digit(*at))
            next = end_of_number(at, end);
        else if (*at == '\'' || *at == '`')
            next = end_of_quoted(at, end);
        else if (is_name(*at))
            next = end_of_name(at, end);
        else if (*at == '-') {
            if (next == end || *next == '-')
                return 0;
        }
        else if (*at == 0 || strchr(signs, *at) == NULL)
            return 0;
        if (next == NULL || (*at == '`' && next < end && (*next == '.' || *next == '\'')))
            return 0;
        if (is_literal) {
            if (shape->count == MOST_LITERALS)
                return 0;
            shape->literals[shape->count].start = at;
            shape->literals[shape->count++].size = next - at;
            shape->text[shape->size++] = MARK;
        }
        else {
            memcpy(shape->text + shape->size, at, next - at);
            shape->size += next - at;
        }
        at = next;
    }
    return 1;
}

/* The plan of the slot that a key has, a new reference. */
static PyObject *
plan_of_key(PyObject *point, const char *key, Py_ssize_t size)
{
    Py_ssize_t mask = number_at(point, K_MASK);
    PyObject *plan = NULL;
    if (mask >= 0)
        plan = PyTuple_GetItem(AT(point, K_PLANS),
                               crc32_of((const unsigned char *)key, size) & mask);
    return Py_XNewRef(plan);
}

/* As Point.of_number: a new reference to the plan; NULL without an error when the digits are no
   plain number of the column. */
PyObject *
plan_at(PyObject *point, const char *digits, Py_ssize_t count)
{
    if (digits[0] == '0' || count >= number_at(point, K_DIGITS))
        return NULL;
    return plan_of_key(point, digits, count);
}

/* The same for a text with its quotes, as Point.bind. */
static PyObject *
plan_at_text(PyObject *point, const char *text, Py_ssize_t size)
{
    if (size > number_at(point, K_CHARACTERS) || text[size - 2] == ' ')
        return NULL;
    for (Py_ssize_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80)
            return NULL;
    return plan_of_key(point, text + 1, size - 2);
}

/* The plan of a plain statement whose shape is known, a new reference; else NULL without an
   error. */
PyObject *
plan_by_shape(PyObject *planner, const char *sql, Py_ssize_t size)
{
    Shape shape;
    if (!read_shape(sql, size, &shape))
        return NULL;
    PyObject *plan = NULL;
    PyObject *text = PyBytes_FromStringAndSize(shape.text, shape.size);
    PyObject *known = NULL;
    if (text != NULL)
        known = PyDict_GetItemWithError(AT(planner, R_SHAPES), text);
    if (known != NULL && !is_a(known, point_type))
        plan = Py_NewRef(known);
    else if (known != NULL) {
        Py_ssize_t index = number_at(known, K_INDEX);
        if (index >= 0 && index < shape.count) {
            const char *start = shape.literals[index].start;
            Py_ssize_t its_size = shape.literals[index].size;
            plan = *start == '\'' ? plan_at_text(known, start, its_size)
                                  : plan_at(known, start, its_size);
        }
    }
    Py_XDECREF(text);
    return plan;
}

/* Whether the plan is for one shard and needs no task. */
int
is_at_once(PyObject *plan)
{
    if (!is_a(plan, one_shard_type))
        return 0;
    PyObject *flags = PyObject_GetAttr(plan, n_flags);
    PyObject *answer = flags != NULL ? PyObject_GetItem(at_once, flags) : NULL;
    Py_XDECREF(flags);
    Py_XDECREF(answer);
    return answer == Py_True;
}
