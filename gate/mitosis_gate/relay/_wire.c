/* Plain TCP connections that are read and written without the event loop's transports.

   A wire stands between a transport of uvloop and its protocol. It reads the socket itself when its
   watch says that there is something, and writes to it directly when nothing is queued in the
   transport. All else is the transport's: queues, their limits, the end of the stream, errors
   and closing. A watch is an epoll of its own, which the event loop watches as one descriptor.

   The descriptor belongs to the transport, which closes it only after it has called
   connection_lost: `detach` is called there, and before every close. */

#include "_relay.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_EVENTS 64 /* of one turn; the others come with the next */
#define MOST_READ (256 << 10)

typedef struct {
    PyObject_HEAD
    int epoll;
    int count; /* of the events below, while they are taken one by one */
    struct epoll_event events[MOST_EVENTS];
} Watch;

typedef struct {
    PyObject_HEAD
    PyObject *inner;    /* the transport */
    PyObject *protocol; /* whom it serves */
    PyObject *watch;
    int fd; /* -1: no longer ours to use */
    char is_watched, has_queue;
} Wire;

static char read_buffer[MOST_READ];

/* reading */

static void
unwatch(Wire *wire)
{
    if (!wire->is_watched)
        return;
    Watch *watch = (Watch *)wire->watch;
    wire->is_watched = 0;
    for (int i = 0; i < watch->count; i++)
        if (watch->events[i].data.ptr == wire)
            watch->events[i].data.ptr = NULL;
    /* fails only for a descriptor that a loop has closed at its own end: then it is out already */
    epoll_ctl(watch->epoll, EPOLL_CTL_DEL, wire->fd, NULL);
}

static void
detach(Wire *wire)
{
    unwatch(wire);
    wire->fd = -1;
}

static int
call(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *nothing = PyObject_CallMethodObjArgs(object, name, argument, NULL);
    Py_XDECREF(nothing);
    return nothing != NULL ? 0 : -1;
}

/* Read once, and give it to the protocol. The end of the stream, and errors, are left to the
   transport, which meets them when it reads. */
static int
read_from(Wire *wire)
{
    ssize_t size = recv(wire->fd, read_buffer, MOST_READ, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size <= 0) {
        unwatch(wire);
        return call(wire->inner, n_resume_reading, NULL);
    }
    PyObject *data = PyBytes_FromStringAndSize(read_buffer, size);
    PyObject *protocol = Py_NewRef(wire->protocol);
    PyObject *nothing = NULL;
    if (data != NULL)
        nothing = is_a(protocol, session_type)   ? session_data_received(protocol, data)
                  : is_a(protocol, backend_type) ? backend_data_received(protocol, data)
                                                 : PyObject_CallMethodObjArgs(
                                                       protocol, n_data_received, data, NULL);
    Py_DECREF(protocol);
    Py_XDECREF(data);
    Py_XDECREF(nothing);
    return nothing != NULL ? 0 : -1;
}

/* Let Python end a connection whose protocol has failed. */
static void
fail(Wire *wire)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    if (call((PyObject *)wire, n_failed, value) < 0)
        PyErr_WriteUnraisable((PyObject *)wire);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* writing */

int
is_wire(PyObject *transport)
{
    return is_a(transport, wire_type);
}

static int
enqueue(Wire *wire, PyObject *data)
{
    wire->has_queue = 1;
    return call(wire->inner, n_write, data);
}

/* Send bytes, at once if nothing waits before them: 1, or -1 with an error. */
int
send_now(PyObject *transport, PyObject *data)
{
    Wire *wire = (Wire *)transport;
    if (wire->has_queue) {
        PyObject *size = PyObject_CallMethodObjArgs(wire->inner, n_get_write_buffer_size, NULL);
        if (size == NULL)
            return -1;
        wire->has_queue = !is_falsy(size);
        Py_DECREF(size);
    }
    if (wire->has_queue || wire->fd < 0)
        return enqueue(wire, data) < 0 ? -1 : 1;
    Py_ssize_t size = PyBytes_Size(data);
    ssize_t sent = send(wire->fd, PyBytes_AsString(data), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == size)
        return 1;
    if (sent <= 0)
        return enqueue(wire, data) < 0 ? -1 : 1;
    PyObject *rest = PyBytes_FromStringAndSize(PyBytes_AsString(data) + sent, size - sent);
    int done = rest != NULL && enqueue(wire, rest) == 0 ? 1 : -1;
    Py_XDECREF(rest);
    return done;
}

/* Wire */

static PyObject *
wire_attach(PyObject *self, PyObject *arguments)
{
    Wire *wire = (Wire *)self;
    PyObject *inner, *protocol, *watch;
    int fd;
    if (!PyArg_ParseTuple(arguments, "OOOi", &inner, &protocol, &watch, &fd))
        return NULL;
    if (!is_a(watch, watch_type)) {
        PyErr_SetString(PyExc_TypeError, "not a watch");
        return NULL;
    }
    wire->inner = Py_NewRef(inner);
    wire->protocol = Py_NewRef(protocol);
    wire->watch = Py_NewRef(watch);
    wire->fd = fd;
    wire->has_queue = 1; /* of the login */
    Py_RETURN_NONE;
}

static PyObject *
wire_watch(PyObject *self, PyObject *nothing)
{
    Wire *wire = (Wire *)self;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = wire}};
    if (wire->is_watched || wire->fd < 0)
        Py_RETURN_NONE;
    if (epoll_ctl(((Watch *)wire->watch)->epoll, EPOLL_CTL_ADD, wire->fd, &event) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    wire->is_watched = 1;
    Py_RETURN_NONE;
}

static PyObject *
wire_unwatch(PyObject *self, PyObject *nothing)
{
    unwatch((Wire *)self);
    Py_RETURN_NONE;
}

static PyObject *
wire_detach(PyObject *self, PyObject *nothing)
{
    detach((Wire *)self);
    Py_RETURN_NONE;
}

static PyObject *
wire_write(PyObject *self, PyObject *data)
{
    int done = PyBytes_CheckExact(data) ? send_now(self, data) : enqueue((Wire *)self, data);
    if (done < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef wire_methods[] = {{"attach", wire_attach, METH_VARARGS, NULL},
                                     {"watch", wire_watch, METH_NOARGS, NULL},
                                     {"unwatch", wire_unwatch, METH_NOARGS, NULL},
                                     {"detach", wire_detach, METH_NOARGS, NULL},
                                     {"write", wire_write, METH_O, NULL},
                                     {NULL, NULL, 0, NULL}};

static PyMemberDef wire_members[] = {
    {"inner", T_OBJECT_EX, offsetof(Wire, inner), READONLY, NULL},
    {"protocol", T_OBJECT_EX, offsetof(Wire, protocol), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyObject *
wire_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    Wire *wire = (Wire *)PyType_GenericAlloc(type, 0);
    if (wire != NULL)
        wire->fd = -1;
    return (PyObject *)wire;
}

static int
wire_traverse(PyObject *self, visitproc visit, void *arg)
{
    Wire *wire = (Wire *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(wire->inner);
    Py_VISIT(wire->protocol);
    Py_VISIT(wire->watch);
    return 0;
}

static int
wire_clear(PyObject *self)
{
    Wire *wire = (Wire *)self;
    detach(wire);
    Py_CLEAR(wire->inner);
    Py_CLEAR(wire->protocol);
    Py_CLEAR(wire->watch);
    return 0;
}

static void
end_of(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static void
wire_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    wire_clear(self);
    end_of(self);
}

static PyType_Slot wire_slots[] = {{Py_tp_traverse, wire_traverse}, {Py_tp_clear, wire_clear},
                                   {Py_tp_dealloc, wire_dealloc},   {Py_tp_members, wire_members},
                                   {Py_tp_methods, wire_methods},   {Py_tp_new, wire_new},
                                   {0, NULL}};
PyType_Spec wire_spec = {"mitosis_gate.relay._compiled.WireState", sizeof(Wire), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, wire_slots};

/* Watch */

static PyObject *
watch_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Watch *watch = (Watch *)PyType_GenericAlloc(type, 0);
    if (watch == NULL)
        close(epoll);
    else
        watch->epoll = epoll;
    return (PyObject *)watch;
}

static void
watch_dealloc(PyObject *self)
{
    close(((Watch *)self)->epoll);
    end_of(self);
}

static PyObject *
watch_fileno(PyObject *self, PyObject *nothing)
{
    return PyLong_FromLong(((Watch *)self)->epoll);
}

/* Serve all wires that have something to read, each once. */
static PyObject *
watch_run(PyObject *self, PyObject *nothing)
{
    Watch *watch = (Watch *)self;
    watch->count = epoll_wait(watch->epoll, watch->events, MOST_EVENTS, 0);
    for (int i = 0; i < watch->count; i++) {
        Wire *wire = watch->events[i].data.ptr;
        if (wire == NULL)
            continue; /* it was given up by one that came before */
        Py_INCREF(wire);
        if (read_from(wire) < 0)
            fail(wire);
        Py_DECREF(wire);
    }
    watch->count = 0;
    Py_RETURN_NONE;
}

static PyMethodDef watch_methods[] = {{"fileno", watch_fileno, METH_NOARGS, NULL},
                                      {"run", watch_run, METH_NOARGS, NULL},
                                      {NULL, NULL, 0, NULL}};
static PyType_Slot watch_slots[] = {{Py_tp_dealloc, watch_dealloc},
                                    {Py_tp_methods, watch_methods},
                                    {Py_tp_new, watch_new},
                                    {0, NULL}};
PyType_Spec watch_spec = {"mitosis_gate.relay._compiled.Watch", sizeof(Watch), 0, Py_TPFLAGS_DEFAULT,
                          watch_slots};
