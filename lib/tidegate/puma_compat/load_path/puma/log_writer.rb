# frozen_string_literal: true

# For `require "puma/log_writer"` where Puma is not: what there is of it is defined already (Tidegate::PumaCompat).
