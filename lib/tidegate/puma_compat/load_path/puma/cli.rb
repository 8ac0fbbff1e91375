# frozen_string_literal: true

# For `require "puma/cli"` where Puma is not: what there is of it is defined already (Tidegate::PumaCompat).
