# frozen_string_literal: true

# Whether an address can be listened on, for `tidegate --check`: it is bound and let go of at once. A socket's file is not touched.

require "socket"

module Tidegate
  module AddressTrial
    # Why an address cannot be listened on. One that is in use can be had later: what uses it may be the server that is to be followed.
    Obstacle = Data.define(:reason, :in_use) do
      alias_method :in_use?, :in_use
    end

    module_function

    # What stands against listening on +address+, as the configuration has it; nil for nothing.
    # @param address [String] tcp://, ssl:// or unix://
    # @return [Obstacle, nil]
    def obstacle(address)
      scheme, place = address.sub(/\?.*/m, "").split("://", 2)
      scheme == "unix" ? unix(place) : tcp(*place.match(/\A\[?(.*?)\]?:(\d+)\z/).captures)
    rescue SocketError
      lasting("the host name has no address")
    rescue Errno::EADDRINUSE => error
      Obstacle.new(Fault.reason(error), true)
    rescue SystemCallError => error
      lasting(Fault.reason(error))
    end

    def lasting(reason) = Obstacle.new(reason, false)

    def tcp(host, port)
      Addrinfo.getaddrinfo(host, port, nil, :STREAM).uniq(&:ip_address).each do |place|
        Socket.open(place.afamily, :STREAM) do |socket|
          socket.setsockopt(:SOCKET, :REUSEADDR, true)
          socket.bind(place)
        end
      end
      nil
    end

    # Another server that listens answers; the file of one that has ended is replaced.
    def unix(path)
      return if path.start_with?("@")

      UNIXSocket.new(path).close
      Obstacle.new("another process is listening on that socket", true)
    rescue Errno::ECONNREFUSED
      File.socket?(path) ? nil : lasting("a file of that name is there, and it is not a socket")
    rescue Errno::ENOENT
      directory = File.dirname(path)
      return lasting("the directory does not exist") unless File.directory?(directory)

      lasting("no file may be made in the directory") unless File.writable?(directory)
    end

    private_class_method :tcp, :unix, :lasting
  end
end
