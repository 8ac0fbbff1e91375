# frozen_string_literal: true

require "socket"
require_relative "shot"

# S6: the server stands still while 20 clients connect and send a POST; TERM is there when it goes on. The kernel has
# accepted them all; a server that closes its listener first resets them.
module Rollout
  module Shots
    class AcceptQueue < Shot
      TITLE = "20 POSTs in the accept queue at TERM"
      CLIENTS = 20
      HOST = "127.0.0.1"

      private

      def once(contestant, _turn)
        server = contestant.start(host: HOST, port: Rig::Servers.free_port(HOST))
        sockets = frozen(server.child) do
          Array.new(CLIENTS) { |number| ask(server.port, number) }.tap { server.child.signal(:TERM) }
        end
        outcomes = sockets.each_with_index.map { |socket, number| outcome(socket, number) }
        [outcomes, ending(server)]
      ensure
        server&.child&.stop(signal: :KILL)
      end

      # The process and its workers.
      def frozen(child)
        pids = [child.pid, *File.read("/proc/#{child.pid}/task/#{child.pid}/children").split.map { |pid| Integer(pid) }]
        Process.kill(:STOP, *pids)
        pids.each { |pid| sleep 0.001 until stopped?(pid) } # the kernel has no event for it
        yield
      ensure
        Process.kill(:CONT, *pids)
      end

      def stopped?(pid) = File.read("/proc/#{pid}/stat")[/\) (\w)/, 1] == "T"

      def ask(port, number)
        socket = TCPSocket.new(HOST, port)
        socket.timeout = TIMEOUT
        body = "number #{number}"
        head = "POST /echo HTTP/1.1\r\nhost: rollout\r\nconnection: close\r\ncontent-length: #{body.bytesize}\r\n\r\n"
        socket.write("#{head}#{body}")
        socket
      end

      # Everything up to the end of the connection is the answer.
      def outcome(socket, number)
        answer = socket.read
        return "eof before response" if answer.empty?

        answer.start_with?("HTTP/1.1 200") && answer.end_with?("\r\n\r\nnumber #{number}") ? ANSWERED : "wrong answer"
      rescue Errno::ECONNRESET
        "reset"
      rescue IO::TimeoutError
        "timeout"
      ensure
        socket.close
      end
    end
  end
end
