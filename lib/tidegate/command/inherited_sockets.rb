# frozen_string_literal: true

# Sockets that this process was started with: those of systemd (socket activation, sd_listen_fds(3)), which go on listening when the
# process ends, and those that the image before this one has passed on in a restart. A client that connects to one of them while no
# server runs waits until one does.

require "socket"

module Tidegate
  class InheritedSockets
    # The first descriptor that systemd passes.
    FIRST = 3

    # The variables of systemd. They are for this process alone, and so are removed.
    SYSTEMD = %w[LISTEN_FDS LISTEN_PID LISTEN_FDNAMES LISTEN_PIDFDID].freeze

    # The variable by which one image of this process passes sockets on to the next: address=descriptor, separated by semicolons, with
    # an asterisk behind those that are systemd's.
    VARIABLE = "TIDEGATE_INHERIT"

    # The name (FileDescriptorName=) of the socket for the admin listener.
    ADMIN = "admin"

    # A socket. +address+ is its own, or the configured one that it was bound for, +io+ has the descriptor; +outlives+ says whether it
    # is systemd's.
    Entry = Data.define(:address, :io, :outlives, :name) do
      # As the native side takes it, for the address that was configured.
      def for(configured) = [configured.to_s, io.fileno, outlives]

      # Whether it is the socket of a +configured+ address. A socket on all addresses of one IP version is one on all of the other too:
      # both cannot be bound.
      def serves?(configured)
        # Whatever is spoken there. With port 0 there may be one of each.
        plain, address = [configured, self.address].map { |text| text.sub(/\?.*/m, "").sub(%r{\Assl:(?!.*:0\z)}, "tcp:") }
        return true if address == plain
        return same_file?(address, plain) if outlives && address.start_with?("unix:") && plain.start_with?("unix:")
        return false unless outlives

        host, port, wanted, wanted_port = [address, plain].flat_map { |text| text.match(%r{\Atcp://(.*):(\d+)}).to_a.drop(1) }
        port == wanted_port && (host == wanted || ALIKE.any? { |hosts| [host, wanted].all? { |each| hosts.include?(each) } })
      end

      private

      # /var/run is /run.
      def same_file?(*addresses)
        addresses.map { |text| File.realdirpath(text.delete_prefix("unix://")) }.uniq.one?
      rescue SystemCallError
        false
      end
    end

    ALIKE = [%w[0.0.0.0 [::]], %w[localhost 127.0.0.1], %w[localhost [::1]]].freeze
    private_constant :ALIKE

    # None.
    def self.none = new([])

    # Takes the sockets that +env+ tells of, and removes the variables. +log+ gets what is wrong with them.
    def self.take(env, log)
      new([*of_systemd(env, log), *passed_on(env, log)])
    ensure
      [*SYSTEMD, VARIABLE].each { |name| env.delete(name) }
    end

    # +sockets+ that another process has passed: for each its address as it was configured, its IO, and whether it outlives the process.
    def self.of(sockets) = new(sockets.map { |address, io, outlives| Entry.new(address:, io:, outlives:, name: nil) })

    # What `exec` needs to pass +sockets+, which Native::Server#sockets returns, on to the next image: an environment and options.
    # @return [Array(Hash, Hash)]
    def self.handed_on(sockets)
      texts = sockets.map do |address, descriptor, outlives|
        "#{address.gsub(/[%;=]/) { |sign| format("%%%02X", sign.ord) }}=#{descriptor}#{"*" if outlives}"
      end
      [{ VARIABLE => texts.join(";") }, sockets.to_h { |_, descriptor, _| [descriptor, descriptor] }]
    end

    def self.of_systemd(env, log)
      count = Integer(env["LISTEN_FDS"].to_s, 10, exception: false).to_i
      return [] unless count.positive?

      unless env["LISTEN_PID"] == Process.pid.to_s
        log.error("systemd has passed its sockets to process #{env["LISTEN_PID"]}, and this is #{Process.pid}: start the server with exec")
        return []
      end
      names = env["LISTEN_FDNAMES"].to_s.split(":", -1)
      Array.new(count) { |number| entry(FIRST + number, log, outlives: true, name: names[number]) }.compact
    end

    def self.passed_on(env, log)
      env[VARIABLE].to_s.split(";").filter_map do |text|
        address, descriptor, kept = text.match(/\A(.*)=(\d+)(\*?)\z/)&.captures
        next unless address

        address = address.gsub(/%(\h\h)/) { Regexp.last_match(1).hex.chr }
        entry(Integer(descriptor), log, outlives: !kept.empty?, address: (address if kept.empty?))
      end
    end

    # Nil for a descriptor that cannot be served.
    def self.entry(descriptor, log, outlives:, name: nil, address: nil)
      io = Socket.for_fd(descriptor)
      io.close_on_exec = true
      unless io.getsockopt(:SOCKET, :TYPE).int == Socket::SOCK_STREAM
        log.error("the descriptor #{descriptor} that was passed to this process is no stream socket, and is not served")
        return io.close
      end
      Entry.new(address: address || place(io.local_address), io:, outlives:, name:)
    rescue SystemCallError => error
      log.error("the descriptor #{descriptor} that was passed to this process cannot be served: #{Fault.reason(error)}")
      nil
    end

    def self.place(address)
      return "unix://#{address.unix_path.sub(/\A\0/, "@")}" if address.unix?

      "tcp://#{address.ipv6? ? "[#{address.ip_address}]" : address.ip_address}:#{address.ip_port}"
    end

    private_class_method :new, :of_systemd, :passed_on, :entry, :place

    def initialize(entries)
      @entries = entries
    end

    # The settings of the native side that follow: where the server listens, its admin listener, and which of these have sockets
    # already.
    # @return [Hash{Symbol => Object}]
    def settings(configuration)
      admin = admin_address(configuration)
      bind = addresses(configuration, admin)
      inherit = [*bind, *admin].flat_map { |address| @entries.select { |each| each.serves?(address) }.map { |each| each.for(address) } }
      { bind:, admin:, inherit: }
    end

    # Closes those that no setting asks for, with a line for each.
    def drop_unused(configuration, log)
      used = settings(configuration)[:inherit].map { |_, descriptor, _| descriptor }
      @entries, unused = @entries.partition { |each| used.include?(each.io.fileno) }
      unused.each { |each| log.error("the socket #{each.address} that was passed to this process is not served: #{reason(each)}") }
      unused.each { |each| each.io.close }
    end

    # Closes the descriptors, of which the native side has its own.
    def close
      @entries.each { |each| each.io.close }
      @entries = []
    end

    private

    def admin_address(configuration)
      configuration.admin&.to_s || @entries.find { |each| each.name == ADMIN }&.address
    end

    # The configured addresses and those of systemd's sockets that are none of these. The default address counts only without such.
    def addresses(configuration, admin)
      ours = configuration.addresses
      kept = @entries.select { |each| each.outlives && each.name != ADMIN && !(admin && each.serves?(admin)) }
      wanted = configuration.bind_to_activated_sockets
      return ours if kept.empty? || !wanted

      ours = ours.select { |address| kept.any? { |each| each.serves?(address) } } if wanted == :only || configuration.default_address?
      ours + kept.reject { |each| ours.any? { |address| each.serves?(address) } }.map(&:address)
    end

    def reason(entry)
      entry.outlives ? "bind_to_activated_sockets is off, and no address that is set is equal" : "nothing is bound there any more"
    end
  end
end
