# frozen_string_literal: true

# `require "tidegate/puma_compat"`: what gems ask Puma for, such as Puma.stats, where Puma is neither loaded nor in the Gemfile. The setting
# puma_compat does the same when the server starts.

require "tidegate"

Tidegate::PumaCompat.install
