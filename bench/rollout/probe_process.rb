# frozen_string_literal: true

# The program of the process that probes: reads "get HOST PORT PATH SECONDS" and "accepts HOST PORT - SECONDS", writes
# the status, "yes" or "-" to descriptor 3. Ends with its input.
require_relative "probe"

answers = IO.for_fd(3)
answers.sync = true
while (line = $stdin.gets)
  what, host, port, path, within = line.split
  answer =
    if what == "get" then Rollout::Probe.get(host, port.to_i, path, within: within.to_f)
    else Rollout::Probe.accepts?(host, port.to_i, within: within.to_f) && "yes"
    end
  answers.puts(answer || "-")
end
