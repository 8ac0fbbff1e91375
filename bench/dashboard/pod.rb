# frozen_string_literal: true

require_relative "../support/certificate"
require_relative "../support/servers"

module Dashboard
  # A Tidegate with an address of its own in 127.0.0.0/8, as a pod has one.
  class Pod
    ADMIN = 9394
    WITHIN = 60

    attr_reader :name, :host, :port

    # +slow+: seconds for which no thread of it comes to the app.
    def initialize(name, host, slow: 0)
      @name, @host, @slow = name, host, slow
      @certificate = Rig::Certificate.new
      start
    end

    # Also after its end, as a kubelet starts a container anew: the pod and its address stay.
    def start
      @child = Rig::Child.new(command, name:, env: { "SLOW_THREADS" => @slow.to_s }, redirects: { chdir: Rig::ROOT, pgroup: true })
      @child.wait_for_line(/ready on/, within: WITHIN) or
        raise Rig::Unavailable, "#{name} does not serve (#{@child.outcome}): #{@child.output.last(5).join(" | ")}"
      @port = Integer(@child.output.grep(/ready on/).last[%r{http://#{Regexp.escape(host)}:(\d+)}, 1])
    end

    # Where its metrics are.
    def target = "#{host}:#{ADMIN}"

    def signal(name) = @child.signal(name)

    # Raises where it should have ended long ago.
    def ended?
      @told_at ||= Rig.now
      raise Rig::Unavailable, "#{name} does not end" if @child.alive? && Rig.now - @told_at > WITHIN

      !@child.alive?
    end

    # Ends one worker process as the kernel's OOM killer does.
    def kill_a_worker = Process.kill(:KILL, workers.first)

    # Ends the process and all its workers at once.
    def kill
      Process.kill(:KILL, -@child.pid)
      @child.wait
    rescue Errno::ESRCH
      nil
    end

    def remove
      kill
      @certificate.remove
    end

    private

    def workers = File.read("/proc/#{@child.pid}/task/#{@child.pid}/children").split.map { |pid| Integer(pid) }

    def command
      [RbConfig.ruby, "-I#{Rig::ROOT}/lib", "#{Rig::ROOT}/exe/tidegate", "-C", "#{__dir__}/config.rb", "-b", "tcp://#{host}:0",
       "-b", @certificate.bind("#{host}:0"), "--admin", "tcp://#{target}", "#{__dir__}/app.ru"]
    end
  end
end
