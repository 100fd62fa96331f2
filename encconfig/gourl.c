/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/gourl.h"

#include "encconfig/gotext.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

/* What may be escaped, or stand unescaped, in which part. */
enum part { PART_PATH, PART_USER, PART_HOST, PART_ZONE };

struct parser {
    struct kt_pool *pool;
    struct kt_text problem; /* without the frame `parse "...": ` */
    bool out_of_memory;
};

static bool complain(struct parser *p, const char *text)
{
    kt_text_add(&p->problem, "%s", text);
    return false;
}

static bool complain_of(struct parser *p, const char *before, struct kt_slice what, const char *behind)
{
    kt_text_add(&p->problem, "%s", before);
    kt_go_quote(&p->problem, (const char *)what.data, what.len);
    kt_text_add(&p->problem, "%s", behind);
    return false;
}

static struct kt_slice cut(struct kt_slice s, size_t from, size_t to)
{
    return KT_SLICE(s.data + from, to - from);
}

/* Where the character is; len: nowhere. */
static size_t find(struct kt_slice s, char c)
{
    const uint8_t *found = s.len > 0 ? memchr(s.data, c, s.len) : NULL;
    return found ? (size_t)(found - s.data) : s.len;
}

static size_t find_last(struct kt_slice s, char c)
{
    const uint8_t *found = s.len > 0 ? memrchr(s.data, c, s.len) : NULL;
    return found ? (size_t)(found - s.data) : s.len;
}

static bool is_host_char(uint8_t c)
{
    return isalnum(c) || (c && strchr("-_.~!$&'()*+,;=:[]<>\"", c));
}

static unsigned hex(uint8_t c)
{
    return c <= '9' ? c - 0x30u : (c | 0x20u) - 0x61u + 10;
}

/* An escape that is well-formed but says what this part may not hold. */
static bool is_bad_escape(const uint8_t *at, enum part part)
{
    unsigned value = hex(at[1]) << 4 | hex(at[2]);
    if (value == '%')
        return false;
    if (part == PART_HOST)
        return value < 0x80;
    return part == PART_ZONE && value != ' ' && (value >= 0x80 || !is_host_char((uint8_t)value));
}

static bool check_escapes(struct parser *p, struct kt_slice s, enum part part)
{
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t *at = s.data + i;
        if (*at == '%') {
            size_t left = s.len - i;
            if (left < 3 || !isxdigit(at[1]) || !isxdigit(at[2]) || is_bad_escape(at, part))
                return complain_of(p, "invalid URL escape ", KT_SLICE(at, left < 3 ? left : 3), "");
            i += 2;
        } else if (part >= PART_HOST && *at < 0x80 && !is_host_char(*at)) {
            return complain_of(p, "invalid character ", KT_SLICE(at, 1), " in host name");
        }
    }
    return true;
}

static bool unescape(struct parser *p, struct kt_slice s, enum part part, const char **ret, size_t *ret_len)
{
    size_t n = 0;
    if (!check_escapes(p, s, part))
        return false;
    char *text = kt_pool_alloc(p->pool, s.len + 1);
    if (!text) {
        p->out_of_memory = true;
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        bool is_escape = s.data[i] == '%';
        text[n++] = is_escape ? (char)(hex(s.data[i + 1]) << 4 | hex(s.data[i + 2])) : (char)s.data[i];
        i += is_escape ? 2 : 0;
    }
    *ret = text;
    *ret_len = n;
    return true;
}

static bool check_port(struct parser *p, struct kt_slice port)
{
    bool is_port = port.len == 0 || port.data[0] == ':';
    for (size_t i = 1; i < port.len; i++)
        is_port = is_port && isdigit(port.data[i]);
    return is_port || complain_of(p, "invalid port ", port, " after host");
}

/* netip.ParseAddr takes what inet_pton takes, and a zone behind %. Its own words for what is wrong are not told here.
 */
static bool check_address(struct parser *p, const char *text, size_t len)
{
    struct in6_addr six;
    struct in_addr four;
    char address[INET6_ADDRSTRLEN] = "";
    const char *zone = memchr(text, '%', len);
    size_t address_len = zone ? (size_t)(zone - text) : len;
    if (address_len < sizeof(address))
        memcpy(address, text, address_len);
    bool has_zone = !zone || text + len - zone > 1;
    if (!zone && inet_pton(AF_INET, address, &four) == 1)
        return complain(p, "invalid IP-literal");
    if (has_zone && strlen(address) == address_len && inet_pton(AF_INET6, address, &six) == 1)
        return true;
    return complain_of(p, "invalid host: ParseAddr(", KT_SLICE(text, len), "): unable to parse IP");
}

static size_t find_zone(struct kt_slice host)
{
    const uint8_t *found = memmem(host.data, host.len, "%25", 3);
    return found ? (size_t)(found - host.data) : host.len;
}

/* [address], [address%25zone], [address]:port */
static bool check_literal(struct parser *p, struct kt_slice host)
{
    const char *address = NULL, *zone = NULL;
    size_t address_len = 0, zone_len = 0;
    size_t close = find_last(host, ']');
    if (close == host.len)
        return complain(p, "missing ']' in host");
    if (!check_port(p, cut(host, close + 1, host.len)))
        return false;
    struct kt_slice name = cut(host, 1, close);
    size_t at = find_zone(name);
    if (!unescape(p, cut(name, 0, at), PART_HOST, &address, &address_len) ||
        !unescape(p, cut(name, at, name.len), PART_ZONE, &zone, &zone_len))
        return false;
    char *whole = kt_pool_alloc(p->pool, address_len + zone_len + 1);
    if (!whole) {
        p->out_of_memory = true;
        return false;
    }
    memcpy(whole, address, address_len);
    memcpy(whole + address_len, zone, zone_len);
    return check_address(p, whole, address_len + zone_len);
}

static bool check_host(struct parser *p, struct kt_slice host, const char *scheme)
{
    size_t open = find_last(host, '[');
    if (open == 0 && host.len > 0)
        return check_literal(p, host);
    if (open < host.len)
        return complain(p, "invalid IP-literal");
    bool is_strict = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
    size_t colon = is_strict ? find(host, ':') : find_last(host, ':');
    return check_port(p, cut(host, colon, host.len)) && check_escapes(p, host, PART_HOST);
}

static bool check_user(struct parser *p, struct kt_slice user)
{
    for (size_t i = 0; i < user.len; i++)
        if (!user.data[i] || !(isalnum(user.data[i]) || strchr("-._:~!$&'()*+,;=%@", user.data[i])))
            return complain(p, "net/url: invalid userinfo");
    size_t colon = find(user, ':');
    return check_escapes(p, cut(user, 0, colon), PART_USER) && check_escapes(p, cut(user, colon, user.len), PART_USER);
}

static bool check_authority(struct parser *p, struct kt_slice authority, const char *scheme)
{
    size_t at = find_last(authority, '@');
    size_t host = at < authority.len ? at + 1 : 0;
    return check_host(p, cut(authority, host, authority.len), scheme) &&
           (host == 0 || check_user(p, cut(authority, 0, at)));
}

/* The scheme, lower case, and where what follows it starts. */
static bool take_scheme(struct parser *p, struct kt_slice s, const char **ret, size_t *ret_rest)
{
    size_t n = 0;
    *ret = "";
    *ret_rest = 0;
    while (n < s.len && (isalpha(s.data[n]) || (n > 0 && (isdigit(s.data[n]) || strchr("+-.", s.data[n])))))
        n++;
    if (n == s.len || s.data[n] != ':')
        return true;
    if (n == 0)
        return complain(p, "missing protocol scheme");
    char *scheme = kt_pool_copy(p->pool, s.data, n);
    if (!scheme) {
        p->out_of_memory = true;
        return false;
    }
    for (size_t i = 0; i < n; i++)
        scheme[i] = (char)tolower((unsigned char)scheme[i]);
    *ret = scheme;
    *ret_rest = n + 1;
    return true;
}

static bool has_control(struct kt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 0x20 || s.data[i] == 0x7f)
            return true;
    return false;
}

static bool starts_with(struct kt_slice s, const char *prefix)
{
    return s.len >= strlen(prefix) && memcmp(s.data, prefix, strlen(prefix)) == 0;
}

/* All but the fragment. */
static bool parse_rest(struct parser *p, struct kt_slice s, struct kt_gourl *ret)
{
    size_t start = 0;
    if (has_control(s))
        return complain(p, "net/url: invalid control character in URL");
    if (!take_scheme(p, s, &ret->scheme, &start))
        return false;
    struct kt_slice rest = cut(s, start, s.len);
    rest = cut(rest, 0, find(rest, '?'));
    if (!starts_with(rest, "/")) {
        if (ret->scheme[0])
            return true; /* rootless: nothing of it is looked at */
        if (find(cut(rest, 0, find(rest, '/')), ':') < find(rest, '/'))
            return complain(p, "first path segment in URL cannot contain colon");
    }
    if ((ret->scheme[0] || !starts_with(rest, "///")) && starts_with(rest, "//")) {
        struct kt_slice authority = cut(rest, 2, rest.len);
        size_t slash = find(authority, '/');
        rest = cut(authority, slash, authority.len);
        if (!check_authority(p, cut(authority, 0, slash), ret->scheme))
            return false;
    }
    return unescape(p, rest, PART_PATH, &ret->path, &ret->path_len);
}

bool kt_gourl_parse(const char *text, size_t len, struct kt_pool *pool, struct kt_gourl *ret, struct kt_text *ret_error)
{
    struct parser p = {.pool = pool};
    struct kt_gourl url = {.scheme = "", .path = ""};
    struct kt_slice whole = KT_SLICE(text, len);
    size_t hash = find(whole, '#');
    kt_text_init(&p.problem, 4 * len + 256);
    bool done = parse_rest(&p, cut(whole, 0, hash), &url);
    size_t shown = hash;
    if (done && hash < len) {
        shown = len;
        done = check_escapes(&p, cut(whole, hash + 1, len), PART_PATH);
    }
    if (done)
        *ret = url;
    else if (!p.out_of_memory) {
        kt_text_add(ret_error, "parse ");
        kt_go_quote(ret_error, text, shown);
        kt_text_add(ret_error, ": %s", p.problem.data ? p.problem.data : "");
    }
    kt_text_done(&p.problem);
    return done;
}
