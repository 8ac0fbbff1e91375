# frozen_string_literal: true

# pitchfork has no flag for it.
worker_processes Integer(ENV.fetch("WEB_CONCURRENCY", "1"))
