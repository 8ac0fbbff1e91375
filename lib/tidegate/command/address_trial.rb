# frozen_string_literal: true

# Whether an address can be listened on, for `tidegate --check`: it is bound and let go of at once. A socket's file is not touched.

require "socket"

module Tidegate
  module AddressTrial
    module_function

    # What stands against listening on +address+, as the configuration has it; nil for nothing.
    # @param address [String] tcp://, ssl:// or unix://
    # @return [String, nil]
    def fault(address)
      scheme, place = address.sub(/\?.*/m, "").split("://", 2)
      scheme == "unix" ? unix(place) : tcp(*place.match(/\A\[?(.*?)\]?:(\d+)\z/).captures)
    rescue SocketError
      "the host name has no address"
    rescue SystemCallError => error
      Fault.reason(error)
    end

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
      "another process is listening on that socket"
    rescue Errno::ECONNREFUSED
      File.socket?(path) ? nil : "a file of that name is there, and it is not a socket"
    rescue Errno::ENOENT
      directory = File.dirname(path)
      return "the directory does not exist" unless File.directory?(directory)

      "no file may be made in the directory" unless File.writable?(directory)
    end

    private_class_method :tcp, :unix
  end
end
