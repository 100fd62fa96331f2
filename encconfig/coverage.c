/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/coverage.h"

#include "encconfig/validate_parts.h"

bool kt_rule_covers(struct kt_slice rule, struct kt_slice group, struct kt_slice resource)
{
    const struct kt_encconfig_text text = {.text = (const char *)rule.data, .len = rule.len};
    struct kt_resource parsed = kt_resource_parse(&text);
    if (kt_resource_is_any(&parsed))
        return true;
    return kt_slice_equal(parsed.group, group) &&
           (kt_resource_is_wild(&parsed) || kt_slice_equal(parsed.resource, resource));
}

size_t kt_encconfig_entry_of(const struct kt_encconfig *config, struct kt_slice group, struct kt_slice resource)
{
    for (size_t i = 0; i < config->n_entries; i++) {
        const struct kt_encconfig_entry *entry = &config->entries[i];
        for (size_t k = 0; k < entry->n_resources; k++) {
            if (kt_rule_covers(KT_SLICE(entry->resources[k].text, entry->resources[k].len), group, resource))
                return i;
        }
    }
    return config->n_entries;
}
