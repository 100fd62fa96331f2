/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms-load: calls one method of a KMS v2 plugin as fast as it answers, and prints what was seen as one line of JSON.
 *
 * A closed loop: each of N callers has one call open at any time. Everything runs in one thread, and the HTTP/2 frames
 * of a request are made once and only get a new stream id, so that the client costs little next to the server. The
 * requests look as kube-apiserver's do: header fields indexed from the second request of a connection on, one
 * connection, no TLS. A call counts as good only with grpc-status 0 and a whole message; for decrypt the message must
 * be the plaintext that was encrypted at the start.
 *
 * Formats: HTTP/2 frames RFC 9113, header compression RFC 7541, gRPC over HTTP/2, k8s.io/kms apis/v2 (protobuf).
 */
#define _GNU_SOURCE
#include "hpack.h"
#include "latency.h"
#include "request.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MAX = 16384, /* SETTINGS_MAX_FRAME_SIZE where nobody says otherwise */
    WINDOW = 65535,    /* initial flow-control window of a connection and of a stream */
    SLOTS = 4096,      /* streams of a connection that can be told apart at one time */
    CALLERS_MAX = 2048,
    CONNECTIONS_MAX = 256,
    STALL_MS = 30000, /* silence that ends the run */
};

enum setting { HEADER_TABLE_SIZE = 1, MAX_CONCURRENT_STREAMS = 3, INITIAL_WINDOW_SIZE = 4 };

struct options {
    const char *socket;
    enum kt_method method;
    unsigned callers;
    unsigned connections;
    double seconds;
    uint64_t requests; /* 0: as many as fit into the seconds */
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        kt_die("out of memory");
    return memory;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the run ---- */

struct caller {
    struct caller *next; /* in the connection's list of those that wait for the flow-control window */
    uint64_t started;
    int status; /* grpc-status, -1 until it came */
    size_t len; /* of the answer, also beyond what fits */
    uint8_t answer[KT_MESSAGE_MAX];
};

struct connection {
    int fd;
    bool settled; /* the server's SETTINGS came */
    bool polls_out;
    uint32_t next_stream; /* 1 until the first request */
    uint32_t streams_max;
    int64_t window;
    uint32_t stream_window;
    uint32_t received; /* bytes of DATA that the server was not yet given back */
    unsigned live;
    struct caller *waiting;
    struct kt_hpack table;
    uint8_t *out;
    size_t out_len;
    size_t out_size;
    size_t in_len;
    uint8_t in[4 * (FRAME_MAX + KT_FRAME_HEAD)];
    struct caller *slots[SLOTS];
};

struct run {
    const struct kt_request *request;
    const struct kt_bytes *expected; /* the answer that each call must give, or NULL */
    uint64_t requests;
    uint64_t deadline;
    uint64_t issued;
    uint64_t done;
    uint64_t errors;
    int first_bad_status;
    uint64_t began;
    uint64_t ended;
    uint64_t cpu_ns;
    unsigned live;
    int epoll;
    unsigned n_connections;
    unsigned n_callers;
    struct connection *connections;
    struct caller *callers;
    struct kt_latency latency;
};

static void queue(struct connection *c, const void *data, size_t len)
{
    if (len > c->out_size - c->out_len)
        kt_die("the server does not read what it is sent");
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
}

static void queue_frame(struct connection *c, enum kt_frame_type type, unsigned flags, const void *payload, size_t len)
{
    struct kt_bytes frame = {.len = 0};

    kt_put_frame_head(&frame, len, type, flags);
    kt_bytes_put(&frame, payload, len);
    queue(c, frame.data, frame.len);
}

static struct caller **slot_of(struct connection *c, uint32_t stream)
{
    return &c->slots[(stream >> 1) % SLOTS];
}

static void start_call(struct run *run, struct connection *c, struct caller *caller, uint64_t now)
{
    const struct kt_template *t = c->next_stream == 1 ? &run->request->first : &run->request->later;
    uint8_t *at = c->out + c->out_len;

    if (c->window < (int64_t)run->request->message_len) {
        caller->next = c->waiting;
        c->waiting = caller;
        return;
    }
    while (*slot_of(c, c->next_stream)) /* a stream that is still open stands there: leave out the id */
        c->next_stream += 2;
    if (c->next_stream > INT32_MAX - 2 * SLOTS)
        kt_die("out of stream ids");
    queue(c, t->frames.data, t->frames.len);
    kt_store_u32(at + 5, c->next_stream);
    kt_store_u32(at + t->data_head + 5, c->next_stream);
    c->window -= (int64_t)run->request->message_len;
    *slot_of(c, c->next_stream) = caller;
    c->next_stream += 2;
    caller->started = now;
    caller->status = -1;
    caller->len = 0;
}

static bool issue(struct run *run, uint64_t now)
{
    if (run->requests ? run->issued >= run->requests : now >= run->deadline)
        return false;
    run->issued++;
    return true;
}

static bool answer_is_good(const struct run *run, const struct caller *caller)
{
    if (caller->status != 0 || caller->len < 6 || caller->len > sizeof(caller->answer))
        return false;
    if (caller->answer[0] != 0 || kt_load_u32(caller->answer + 1) != caller->len - 5)
        return false;
    return !run->expected || (caller->len - 5 == run->expected->len &&
                              memcmp(caller->answer + 5, run->expected->data, run->expected->len) == 0);
}

static void count_error(struct run *run, int status)
{
    if (run->errors++ == 0)
        run->first_bad_status = status;
}

static void end_call(struct run *run, struct connection *c, uint32_t stream, bool whole)
{
    struct caller *caller = *slot_of(c, stream);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);

    if (!caller)
        return;
    *slot_of(c, stream) = NULL;
    run->done++;
    run->ended = now;
    kt_latency_add(&run->latency, now - caller->started);
    if (!whole || !answer_is_good(run, caller))
        count_error(run, caller->status);
    if (issue(run, now)) {
        start_call(run, c, caller, now);
    } else {
        c->live--;
        run->live--;
    }
}

/* All calls of a lost connection fail. */
static void lose(struct run *run, struct connection *c, const char *why)
{
    fprintf(stderr, "kms-load: %s, with %u calls open\n", why, c->live);
    for (unsigned i = 0; i < c->live; i++)
        count_error(run, -1);
    run->done += c->live;
    run->live -= c->live;
    run->ended = clock_ns(CLOCK_MONOTONIC);
    c->live = 0;
    close(c->fd);
    c->fd = -1;
}

/* ---- frames that come in ---- */

struct frame {
    enum kt_frame_type type;
    unsigned flags;
    uint32_t stream;
    const uint8_t *payload;
    size_t len;
};

static bool strip_padding(struct frame *f)
{
    size_t padding = 0;
    size_t front = 0;

    if (f->flags & KT_PADDED) {
        if (f->len == 0)
            return false;
        padding = f->payload[0];
        front = 1;
    }
    if (f->type == KT_HEADERS && f->flags & KT_PRIORITY)
        front += 5;
    if (front + padding > f->len)
        return false;
    f->payload += front;
    f->len -= front + padding;
    return true;
}

static const char *on_data(struct run *run, struct connection *c, struct frame *f)
{
    struct caller *caller = *slot_of(c, f->stream);
    uint8_t update[4];

    c->received += (uint32_t)f->len;
    if (c->received > WINDOW / 2) {
        kt_store_u32(update, c->received);
        queue_frame(c, KT_WINDOW_UPDATE, 0, update, sizeof(update));
        c->received = 0;
    }
    if (!strip_padding(f))
        return "bad padding";
    if (caller) {
        if (caller->len + f->len <= sizeof(caller->answer))
            memcpy(caller->answer + caller->len, f->payload, f->len);
        caller->len += f->len;
    }
    if (f->flags & KT_END_STREAM) /* without trailers there is no grpc-status */
        end_call(run, c, f->stream, false);
    return NULL;
}

static const char *on_headers(struct run *run, struct connection *c, struct frame *f)
{
    struct caller *caller = *slot_of(c, f->stream);
    int status = -1;

    if (!(f->flags & KT_END_HEADERS))
        return "a header block in several frames, which this client does not read";
    if (!strip_padding(f) || !kt_hpack_read(&c->table, f->payload, f->len, &status))
        return "a header block that does not decode";
    if (caller && status >= 0)
        caller->status = status;
    if (f->flags & KT_END_STREAM)
        end_call(run, c, f->stream, true);
    return NULL;
}

static const char *on_settings(struct run *run, struct connection *c, struct frame *f)
{
    (void)run;
    if (f->flags & KT_ACK)
        return NULL;
    for (size_t i = 0; i + 6 <= f->len; i += 6) {
        unsigned id = (unsigned)f->payload[i] << 8 | f->payload[i + 1];
        uint32_t value = kt_load_u32(f->payload + i + 2);

        if (id == HEADER_TABLE_SIZE && value < KT_HPACK_TABLE_MAX)
            return "the server wants a smaller header table than this client uses";
        if (id == MAX_CONCURRENT_STREAMS)
            c->streams_max = value;
        if (id == INITIAL_WINDOW_SIZE)
            c->stream_window = value;
    }
    if (c->stream_window < KT_MESSAGE_MAX)
        return "the server's stream window is smaller than a message";
    c->settled = true;
    queue_frame(c, KT_SETTINGS, KT_ACK, "", 0);
    return NULL;
}

static const char *on_ping(struct run *run, struct connection *c, struct frame *f)
{
    (void)run;
    if (f->len != 8)
        return "a KT_PING of the wrong size";
    if (!(f->flags & KT_ACK))
        queue_frame(c, KT_PING, KT_ACK, f->payload, f->len);
    return NULL;
}

static const char *on_window_update(struct run *run, struct connection *c, struct frame *f)
{
    struct caller *waiting = c->waiting;

    if (f->len != 4)
        return "a KT_WINDOW_UPDATE of the wrong size";
    if (f->stream != 0)
        return NULL;
    c->window += kt_load_u32(f->payload) & INT32_MAX;
    c->waiting = NULL;
    while (waiting) {
        struct caller *next = waiting->next;

        start_call(run, c, waiting, clock_ns(CLOCK_MONOTONIC));
        waiting = next;
    }
    return NULL;
}

static const char *on_rst_stream(struct run *run, struct connection *c, struct frame *f)
{
    end_call(run, c, f->stream, false);
    return NULL;
}

static const char *on_goaway(struct run *run, struct connection *c, struct frame *f)
{
    (void)run;
    (void)c;
    (void)f;
    return "the server ended the connection (KT_GOAWAY)";
}

static const char *on_frame(struct run *run, struct connection *c, struct frame *f)
{
    typedef const char *handler(struct run *, struct connection *, struct frame *);
    static handler *const handlers[] = {
        [KT_DATA] = on_data,
        [KT_HEADERS] = on_headers,
        [KT_RST_STREAM] = on_rst_stream,
        [KT_SETTINGS] = on_settings,
        [KT_PING] = on_ping,
        [KT_GOAWAY] = on_goaway,
        [KT_WINDOW_UPDATE] = on_window_update,
    };

    if (f->type == KT_CONTINUATION)
        return "a KT_CONTINUATION out of place";
    if (f->type >= sizeof(handlers) / sizeof(*handlers) || !handlers[f->type])
        return NULL; /* a kind of frame that this client need not know */
    return handlers[f->type](run, c, f);
}

/* ---- connections ---- */

static const char *on_bytes(struct run *run, struct connection *c)
{
    const char *problem = NULL;
    size_t at = 0;

    while (!problem && c->in_len - at >= KT_FRAME_HEAD) {
        const uint8_t *head = c->in + at;
        struct frame f = {
            .len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2],
            .type = head[3],
            .flags = head[4],
            .stream = kt_load_u32(head + 5) & INT32_MAX,
            .payload = head + KT_FRAME_HEAD,
        };

        if (f.len > FRAME_MAX)
            return "a frame that is too large";
        if (c->in_len - at < KT_FRAME_HEAD + f.len)
            break;
        at += KT_FRAME_HEAD + f.len;
        problem = on_frame(run, c, &f);
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
    return problem;
}

static const char *flush(struct run *run, struct connection *c)
{
    size_t sent = 0;

    while (sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + sent, c->out_len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
            return strerror(errno);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    c->out_len -= sent;
    memmove(c->out, c->out + sent, c->out_len);
    if (c->polls_out != (c->out_len > 0)) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

        c->polls_out = !c->polls_out;
        if (c->polls_out)
            event.events |= EPOLLOUT;
        epoll_ctl(run->epoll, EPOLL_CTL_MOD, c->fd, &event);
    }
    return NULL;
}

static const char *receive(struct run *run, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);

    if (n == 0)
        return "the server closed the connection";
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    c->in_len += (size_t)n;
    return on_bytes(run, c);
}

static void on_event(struct run *run, struct connection *c)
{
    const char *problem = receive(run, c);

    if (!problem)
        problem = flush(run, c);
    if (problem)
        lose(run, c, problem);
}

static void poll_once(struct run *run)
{
    struct epoll_event events[64];
    int n = epoll_wait(run->epoll, events, 64, STALL_MS);

    if (n == 0)
        kt_die("no answer for %d seconds, with %u calls open", STALL_MS / 1000, run->live);
    for (int i = 0; i < n; i++)
        on_event(run, events[i].data.ptr);
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (len >= sizeof(address.sun_path))
        kt_die("the path of the socket is too long");
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* Linux abstract socket, as in kube-apiserver's endpoint */
        address.sun_path[0] = '\0';
    else
        len++;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
        kt_die("cannot connect to %s: %s", path, strerror(errno));
    return fd;
}

static void open_connection(struct run *run, struct connection *c, const char *path)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    c->fd = dial(path);
    c->next_stream = 1;
    c->streams_max = UINT32_MAX;
    c->window = WINDOW;
    c->stream_window = WINDOW;
    c->table.limit = KT_HPACK_TABLE_MAX;
    /* A closed loop cannot have more than this under way; the rest is for acknowledgements. */
    c->out_size = run->n_callers * sizeof(struct kt_template) + (1u << 20);
    c->out = allocate(1, c->out_size);
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event))
        kt_die("epoll: %s", strerror(errno));
    queue(c, preface, sizeof(preface) - 1);
    queue_frame(c, KT_SETTINGS, 0, "", 0);
    if (flush(run, c))
        kt_die("cannot write to %s", path);
    while (!c->settled && c->fd >= 0)
        poll_once(run);
    if (c->fd < 0)
        exit(1);
}

static void begin_calls(struct run *run, double seconds)
{
    run->began = clock_ns(CLOCK_MONOTONIC);
    run->deadline = run->began + (uint64_t)(seconds * 1e9);
    for (unsigned i = 0; i < run->n_callers; i++) {
        struct connection *c = &run->connections[i % run->n_connections];

        if (c->fd < 0 || !issue(run, run->began))
            continue;
        if (++c->live > c->streams_max)
            kt_die("the server allows %u calls at once on a connection: use more --connections", c->streams_max);
        run->live++;
        start_call(run, c, &run->callers[i], clock_ns(CLOCK_MONOTONIC));
    }
    for (unsigned i = 0; i < run->n_connections; i++)
        if (run->connections[i].fd >= 0)
            (void)flush(run, &run->connections[i]); /* a lost connection shows at the next receive */
}

/* Makes the calls that `options` ask for. run_free gives back what the result holds. */
static void run_calls(struct run *run, const struct options *options)
{
    uint64_t cpu = 0;

    run->requests = options->requests;
    run->n_connections = options->connections;
    run->n_callers = options->callers;
    run->connections = allocate(run->n_connections, sizeof(*run->connections));
    run->callers = allocate(run->n_callers, sizeof(*run->callers));
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll < 0)
        kt_die("epoll: %s", strerror(errno));
    for (unsigned i = 0; i < run->n_connections; i++)
        open_connection(run, &run->connections[i], options->socket);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    begin_calls(run, options->seconds);
    while (run->live > 0)
        poll_once(run);
    run->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

static void run_free(struct run *run)
{
    for (unsigned i = 0; i < run->n_connections; i++) {
        if (run->connections[i].fd >= 0)
            close(run->connections[i].fd);
        free(run->connections[i].out);
    }
    close(run->epoll);
    free(run->connections);
    free(run->callers);
    free(run);
}

/* ---- what is called ---- */

static const uint8_t plaintext[32] = "a seed of thirty-two bytes, made";
static const char uid[] = "7c5b1d6e-1f0e-4a3f-9c3a-2b6a3b1f0e11";

static void encrypt_body(struct kt_bytes *body)
{
    kt_put_protobuf(body, 1, plaintext, sizeof(plaintext));
    kt_put_protobuf(body, 2, uid, sizeof(uid) - 1);
}

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

static bool read_protobuf(struct span *r, unsigned *ret_field, struct span *ret_value)
{
    size_t len = 0;
    unsigned shift = 0;

    if (r->at == r->end || (*r->at & 7) != 2)
        return false;
    *ret_field = *r->at++ >> 3;
    do {
        if (r->at == r->end || shift > 21)
            return false;
        len |= (size_t)(*r->at & 0x7f) << shift;
        shift += 7;
    } while (*r->at++ & 0x80);
    if (len > (size_t)(r->end - r->at))
        return false;
    *ret_value = (struct span){r->at, r->at + len};
    r->at += len;
    return true;
}

/* DecryptRequest from EncryptResponse: ciphertext 1 -> 1, key_id 2 -> 3, annotations 3 -> 4. */
static void decrypt_body(struct kt_bytes *body, const uint8_t *response, size_t len)
{
    static const unsigned field_of[] = {0, 1, 3, 4};
    struct span r = {response, response + len};
    struct span value;
    unsigned field;

    kt_put_protobuf(body, 2, uid, sizeof(uid) - 1);
    while (r.at < r.end) {
        if (!read_protobuf(&r, &field, &value) || field == 0 || field >= sizeof(field_of) / sizeof(*field_of))
            kt_die("the answer to Encrypt does not decode");
        kt_put_protobuf(body, field_of[field], value.at, (size_t)(value.end - value.at));
    }
}

/* One Encrypt, to have something to decrypt. */
static void decrypt_prepare(const char *socket, struct kt_bytes *body)
{
    const struct options once = {.socket = socket, .callers = 1, .connections = 1, .requests = 1};
    struct run *run = allocate(1, sizeof(*run));
    struct kt_request *request = allocate(1, sizeof(*request));
    struct kt_bytes encrypt = {.len = 0};

    encrypt_body(&encrypt);
    kt_request_make(request, KT_ENCRYPT, &encrypt);
    run->request = request;
    run_calls(run, &once);
    if (run->errors)
        kt_die("the Encrypt before the run failed (grpc-status %d)", run->first_bad_status);
    decrypt_body(body, run->callers[0].answer + 5, run->callers[0].len - 5);
    run_free(run);
    free(request);
}

static void print_result(const struct options *options, const struct run *run)
{
    double seconds = (double)(run->ended - run->began) / 1e9;
    double calls = (double)run->done;

    printf("{\"method\":\"%s\",\"callers\":%u,\"connections\":%u,\"calls\":%llu,\"errors\":%llu,\"seconds\":%.6f,"
           "\"throughput\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
           "\"client_cpu_us\":%.2f}\n",
           kt_method_names[options->method], options->callers, options->connections, (unsigned long long)run->done,
           (unsigned long long)run->errors, seconds, seconds > 0 ? calls / seconds : 0,
           kt_latency_us(&run->latency, 0.5), kt_latency_us(&run->latency, 0.99), kt_latency_us(&run->latency, 0.999),
           (double)run->latency.max / 1000, calls > 0 ? (double)run->cpu_ns / 1000 / calls : 0);
}

/* ---- the command line ---- */

static unsigned long parse_number(struct argp_state *state, const char *name, const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long value = 0;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value == 0 || value > max)
        argp_error(state, "--%s takes a number from 1 to %lu", name, max);
    return value;
}

static double parse_seconds(struct argp_state *state, const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end || !(value > 0 && value <= 86400))
        argp_error(state, "--seconds takes a number above 0, up to 86400");
    return value;
}

static enum kt_method parse_method(struct argp_state *state, const char *text)
{
    for (unsigned i = 0; i < sizeof(kt_method_names) / sizeof(*kt_method_names); i++)
        if (strcmp(text, kt_method_names[i]) == 0)
            return (enum kt_method)i;
    argp_error(state, "--method is status, encrypt or decrypt");
    return KT_STATUS;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 's':
        options->socket = arg;
        return 0;
    case 'm':
        options->method = parse_method(state, arg);
        return 0;
    case 'c':
        options->callers = (unsigned)parse_number(state, "callers", arg, CALLERS_MAX);
        return 0;
    case 'n':
        options->connections = (unsigned)parse_number(state, "connections", arg, CONNECTIONS_MAX);
        return 0;
    case 't':
        options->seconds = parse_seconds(state, arg);
        return 0;
    case 'r':
        options->requests = parse_number(state, "requests", arg, 1000000000);
        return 0;
    case ARGP_KEY_END:
        if (!options->socket)
            argp_error(state, "--socket is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"socket", 's', "PATH", 0, "Unix socket of the plugin; @NAME is an abstract one", 0},
    {"method", 'm', "METHOD", 0, "status, encrypt (default) or decrypt", 0},
    {"callers", 'c', "N", 0, "calls open at any time (default 1)", 0},
    {"connections", 'n', "N", 0, "connections that the callers are spread over (default 1)", 0},
    {"seconds", 't', "S", 0, "how long to go on issuing calls (default 5)", 0},
    {"requests", 'r', "N", 0, "make exactly N calls instead", 0},
    {0},
};

int main(int argc, char **argv)
{
    const struct argp argp = {option_list, parse_option, NULL, "Load on a KMS v2 plugin, for figures.",
                              NULL,        NULL,         NULL};
    struct options options = {.method = KT_ENCRYPT, .callers = 1, .connections = 1, .seconds = 5};
    struct run *run = allocate(1, sizeof(*run));
    struct kt_request *request = allocate(1, sizeof(*request));
    struct kt_bytes body = {.len = 0};
    struct kt_bytes expected = {.len = 0};
    uint64_t errors = 0;

    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    kt_hpack_prepare();
    kt_put_protobuf(&expected, 1, plaintext, sizeof(plaintext));
    if (options.method == KT_ENCRYPT)
        encrypt_body(&body);
    if (options.method == KT_DECRYPT) {
        decrypt_prepare(options.socket, &body);
        run->expected = &expected;
    }
    kt_request_make(request, options.method, &body);
    run->request = request;
    run_calls(run, &options);
    print_result(&options, run);
    errors = run->errors;
    if (errors)
        fprintf(stderr, "kms-load: %llu calls failed, the first with grpc-status %d\n", (unsigned long long)errors,
                run->first_bad_status);
    run_free(run);
    free(request);
    return errors ? 1 : 0;
}
