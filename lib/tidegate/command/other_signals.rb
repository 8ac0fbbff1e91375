# frozen_string_literal: true

# The signals that neither stop nor restart a server without workers: each prints one sentence, and does not end or stop the process,
# which most of them would without a trap. HUP is among them where it does not mean that a terminal has gone.

module Tidegate
  module OtherSignals
    # What is printed for each.
    SENTENCES = {
      "USR1" => "SIGUSR1 replaces workers one after another, and there are none here; SIGUSR2 restarts the server",
      "TTIN" => "SIGTTIN adds a worker, and there are none here: start with workers (-w, WEB_CONCURRENCY) for that",
      "TTOU" => "SIGTTOU takes a worker away, and there are none here",
      "URG" => "SIGURG forks the workers anew from a warm one, and there are none here",
      "WINCH" => "SIGWINCH does nothing here; SIGTERM stops the server",
      "HUP" => "SIGHUP opens the log files anew, and none is set (redirect_stdout, redirect_stderr); SIGTERM stops the server"
    }.freeze

    # The kernel sends these to a process in the background that uses its terminal, and again and again while they are handled.
    ONCE = %w[TTIN TTOU].freeze

    module_function

    # The names of those that are trapped. A terminal sends WINCH whenever its window changes.
    def names(terminal: terminal?) = SENTENCES.keys - (terminal ? %w[HUP WINCH] : [])

    # Whether this process has a controlling terminal, the end of which HUP tells of.
    def terminal?
      File.open("/dev/tty", File::RDONLY | File::NOCTTY | File::NONBLOCK).close
      true
    rescue SystemCallError
      false
    end
  end
end
