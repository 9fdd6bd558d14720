/* SPDX-License-Identifier: Apache-2.0
 *
 * zlib as Swift sees it: the initializers are macros, which do not import.
 */
#ifndef MEMTRACK_CZLIB_SHIM_H
#define MEMTRACK_CZLIB_SHIM_H

#include <zlib.h>

/* 15: the largest window. +16: a gzip member. */
static inline int memtrack_gzip_begin(z_stream *stream)
{
    return deflateInit2(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}

static inline int memtrack_gunzip_begin(z_stream *stream)
{
    return inflateInit2(stream, 15 + 16);
}

#endif
