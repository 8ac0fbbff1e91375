# frozen_string_literal: true

# For `require "puma/launcher"` where Puma is not: what there is of it is defined already (Tidegate::PumaCompat).
