# frozen_string_literal: true

# How a process has ended, in words and as a status.

module Tidegate
  class WorkerEnd
    # +status+ is a Process::Status; nil where none is known.
    def initialize(status)
      @status = status
    end

    # As the end of a sentence: "was ended by SIGKILL".
    def to_s
      return "has ended" unless @status
      return "was ended by SIG#{Signal.signame(@status.termsig)}" if @status.signaled?

      "has ended with status #{@status.exitstatus}"
    end

    def well? = @status&.success? == true

    # Whether it was ended by the signal that tells it to end, or was never there.
    def told? = @status.nil? || (@status.signaled? && @status.termsig == Signal.list["TERM"])

    # 0, or 1 for whatever is not well.
    def exit_status = well? ? 0 : 1
  end
end
