# frozen_string_literal: true

# A configuration of Puma: accepts what its queue holds before it closes its listener.
drain_on_shutdown
