# frozen_string_literal: true

# Two network devices that end in this process (TUN), and what comes out of one goes into the other a fixed delay
# later, in order. This stands in for the kernel's netem, which is not everywhere.
module Rollout
  class Relay
    TUNSETIFF = 0x400454ca # _IOW('T', 202, int)
    IFF_TUN = 0x0001       # packets, without the link's own header
    IFF_NO_PI = 0x1000     # and with nothing before them
    PACKET_MAX = 65_536

    # One direction: where packets come from, where they go to, and those under way with their due times.
    Way = Struct.new(:from, :to, :under_way)

    # The names of the devices, and the delay in seconds.
    def initialize(one, other, delay:)
      @delay = delay
      one, other = open(one), open(other)
      @ways = [Way.new(one, other, []), Way.new(other, one, [])]
    end

    # Relays until that IO has ended, or until the devices are gone.
    def run(until_ended:)
      loop do
        sources = [until_ended, *@ways.map(&:from)]
        ready, = IO.select(sources, nil, nil, pause)
        break if ready&.include?(until_ended)

        @ways.each { |way| take(way) } if ready
        @ways.each { |way| pass_on(way) }
        break if @ways.empty?
      end
      until_ended.read
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def open(name)
      device = IO.for_fd(IO.sysopen("/dev/net/tun", "r+b"), "r+b")
      device.sync = true
      device.ioctl(TUNSETIFF, [name, IFF_TUN | IFF_NO_PI].pack("a16Sx22"))
      device
    end

    # Seconds until the next packet is due; nil when none is under way.
    def pause
      due, = @ways.filter_map { |way| way.under_way.first&.first }.min
      due && [due - now, 0].max
    end

    # Takes everything that is there.
    def take(way)
      while (packet = way.from.read_nonblock(PACKET_MAX, exception: false)).is_a?(String)
        way.under_way << [now + @delay, packet]
      end
    rescue SystemCallError # EBADFD: the device was taken away
      @ways.delete(way)
    end

    # A device that is down or has no room loses what it gets, as a network does.
    def pass_on(way)
      time = now
      while way.under_way.any? && way.under_way.first.first <= time
        _, packet = way.under_way.shift
        begin
          way.to.write_nonblock(packet, exception: false)
        rescue SystemCallError
          nil
        end
      end
    end
  end
end
