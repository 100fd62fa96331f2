/* SPDX-License-Identifier: Apache-2.0 */
/* The worlds that are walked. */
#pragma once

#include "model.h"

enum model_setting_name {
    MODEL_KMS_ONE,
    MODEL_INLINE_ONE,
    MODEL_INLINE_ONE_FILE,
    MODEL_KMS,
    MODEL_INLINE,
    MODEL_KMS_DISK,
    MODEL_INLINE_DISK,
    MODEL_INLINE_FILE,
    MODEL_KMS_ON_OFF,
    MODEL_INLINE_ON_OFF,
    MODEL_TO_KMS,
    MODEL_TO_INLINE,
    MODEL_KMS_TWICE,
    MODEL_INLINE_TWICE,
    MODEL_SETTINGS,
};
extern const struct model_setting model_settings[MODEL_SETTINGS];

#define MODEL_DEEP_SETTINGS 4u
extern const struct model_setting model_deep_settings[MODEL_DEEP_SETTINGS];
