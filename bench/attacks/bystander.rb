# frozen_string_literal: true

# A normal client: a request a hundred times a second, in turn on a kept connection and on a new one, and how long each took. It is a
# process of its own, so that what attacks beside it does not hold up its clock.
module Attacks
  class Bystander
    PAUSE = 0.01

    def initialize(target)
      @target = target
      @reader, writer = IO.pipe
      @pid = fork do
        @reader.close
        ask_until_told(writer)
        exit!(0)
      end
      writer.close
    end

    # Ends it; milliseconds for each request, and how many failed.
    def results
      Process.kill(:TERM, @pid)
      text = @reader.read
      Process.wait(@pid)
      times = text.lines.map(&:strip)
      [times.reject { |it| it == "failed" }.map(&:to_f).sort, times.count("failed")]
    end

    private

    def ask_until_told(writer)
      over = false
      Signal.trap("TERM") { over = true }
      kept = nil
      number = 0
      until over
        began = Rig.now
        begin
          socket = (number += 1).odd? ? @target.connect : (kept ||= @target.connect)
          ask(socket)
          socket.close unless socket.equal?(kept)
          writer.puts((Rig.now - began) * 1000)
        rescue SystemCallError, IOError, OpenSSL::SSL::SSLError
          kept = nil
          writer.puts "failed"
        end
        sleep PAUSE
      end
    end

    def ask(socket)
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      head = +""
      head << (socket.gets or raise EOFError) until head.end_with?("\r\n\r\n")
      raise EOFError, head unless head.start_with?("HTTP/1.1 200")

      socket.read(head[/^content-length: (\d+)/i, 1].to_i)
    end
  end
end
