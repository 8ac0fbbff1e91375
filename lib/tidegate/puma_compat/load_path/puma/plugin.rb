# frozen_string_literal: true

# For `require "puma/plugin"` where Puma is not: what there is of it is defined already (Tidegate::PumaCompat).
