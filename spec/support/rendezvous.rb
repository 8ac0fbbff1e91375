# frozen_string_literal: true

# Where a spec meets the app of another process: the app comes to a named place (see fixtures/meeting.rb), says that it
# is there, and stays until the spec lets it go. So nothing is left to time.

require "socket"
require "tmpdir"

class Rendezvous
  # An app that has come.
  class Visitor
    attr_reader :place

    def initialize(socket, place)
      @socket = socket
      @place = place
    end

    # Lets it go on, with a word.
    def release(word = "go")
      @socket.puts(word)
      @socket.close
    end

    # Waits until it has gone without having been let go, because its thread or its process has ended.
    def gone
      @socket.wait_readable(Patience::SECONDS) or raise Patience::Over, "the app to leave #{@place}"
      @socket.read_nonblock(1, exception: false).nil?
    rescue Errno::ECONNRESET
      true
    end

    def close = @socket.close
  end

  attr_reader :path

  def initialize
    @directory = Dir.mktmpdir("tidegate")
    @path = File.join(@directory, "meet")
    @server = UNIXServer.new(@path)
    @early = Hash.new { |hash, place| hash[place] = [] }
    @visitors = []
  end

  # What the app's process needs to find us.
  def env = { "SPEC_MEETING" => @path }

  # Waits until an app has come to +place+.
  def meet(place)
    deadline = Patience::Deadline.new("the app to come to #{place}")
    loop do
      return @early[place].shift if @early[place].any?

      @server.wait_readable(deadline.left) or deadline.over
      visitor = take_in
      @early[visitor.place] << visitor
    end
  end

  def close
    @visitors.each(&:close)
    @server.close
    FileUtils.rm_rf(@directory)
  end

  private

  def take_in
    socket = @server.accept
    socket.timeout = Patience::SECONDS
    Visitor.new(socket, socket.gets(chomp: true)).tap { |visitor| @visitors << visitor }
  end
end
