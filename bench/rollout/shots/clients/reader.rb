# frozen_string_literal: true

# The program of a client that takes 2 MB slowly: `ruby reader.rb HOST PORT`. Says "begun" when the answer has begun, and
# in the end whether it came whole.
require "json"
require "socket"

SIZE = 2_000_000
BITE = 50_000
PAUSE = 0.1   # seconds between two bites: 500 KB/s
SILENCE = 4.0 # seconds without a byte, after which none is hoped for

host, port = ARGV
socket = Socket.new(:INET, :STREAM)
socket.setsockopt(:SOCKET, :RCVBUF, 65_536) # what the server has sent waits on its side
socket.connect(Addrinfo.tcp(host, port.to_i))
socket.timeout = SILENCE
socket.write("GET /large HTTP/1.1\r\nhost: rollout\r\nconnection: close\r\n\r\n")
head = socket.gets("\r\n\r\n")
puts "begun"
$stdout.flush

taken = 0
outcome =
  begin
    while taken < SIZE && (bite = socket.read([BITE, SIZE - taken].min))
      taken += bite.bytesize
      sleep(PAUSE) # a part of the experiment
    end
    whole = taken == SIZE && head.start_with?("HTTP/1.1 200")
    whole ? "answered" : "truncated"
  rescue IO::TimeoutError
    "truncated, silent"
  rescue Errno::ECONNRESET
    "truncated, reset"
  end
puts JSON.generate(outcome => 1)
