# frozen_string_literal: true

# What all Ruby threads of this process are doing, as far as Ruby tells.

module Tidegate
  module Control
    module ThreadBacktraces
      module_function

      # An Array with a Hash for each thread: name, status and backtrace, under the keys of Puma's and one more.
      def now
        Thread.list.map do |thread|
          backtrace = thread.backtrace || ["<no backtrace: the thread has just begun or ended>"]
          { name: name(thread), status: thread.status.to_s, backtrace: backtrace.map { |line| Printable.unicode(line) } }
        end
      end

      def name(thread)
        return "main" if thread == Thread.main && thread.name.to_s.empty?

        Printable.unicode(thread.name || "unnamed thread #{thread.native_thread_id || thread.object_id}")
      end
    end
  end
end
