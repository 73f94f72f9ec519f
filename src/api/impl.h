/* What the files of api share about the api itself. */
#ifndef API_IMPL_H
#define API_IMPL_H

#include "api/api.h"

struct str api_host_id(const struct api *a);
/* x-amz-request-id and x-amz-id-2, on every answer. */
void api_common_headers(struct api_request *rq);

#endif
