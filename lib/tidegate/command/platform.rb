# frozen_string_literal: true

# What runs this process, as far as its end is concerned: Kubernetes, a container engine, or neither. The launcher asks once,
# for a process that is the server's own.

module Tidegate
  module Platform
    # Files that Docker and Podman put into their containers.
    FILES = %w[.dockerenv run/.containerenv].freeze

    # Values of the variable `container`, which engines set for the process that they start.
    ENGINES = %w[containerd crio docker oci podman].freeze

    # Where engines keep the layers that a container's root file system is an overlay of.
    LAYERS = %r{/(?:containerd|docker|nerdctl|containers/storage)/}

    # The namespace of process ids that a machine boots with: the kernel's constant PROC_PID_INIT_INO.
    MACHINE = "pid:[4026531836]"

    # Process 1 of what is a system of its own: LXC, systemd-nspawn, WSL.
    INITS = %w[init openrc-init runit systemd].freeze

    module_function

    # :kubernetes, :container or :plain. +root+ is for specs.
    def of(env, root: "/")
      return :kubernetes if env.key?("KUBERNETES_SERVICE_HOST")

      container?(env, root) ? :container : :plain
    end

    def container?(env, root)
      ENGINES.include?(env["container"]) || FILES.any? { |name| File.exist?(File.join(root, name)) } || overlaid?(root)
    end

    # containerd and others leave no file. A live system's root is an overlay too, but one of another place, and its processes
    # have the machine's own ids.
    def overlaid?(root)
      overlay = overlay(root) or return false

      overlay.match?(LAYERS) || (namespace(root) != MACHINE && !INITS.include?(read(root, "proc/1/comm").chomp))
    end

    # The options of the root file system where it is an overlay: of the last one that was mounted there.
    def overlay(root)
      mounted = read(root, "proc/self/mountinfo").lines.select { |line| line.split(" ", 6)[4] == "/" }
      type, _, options = mounted.last.to_s[/ - (.*)/, 1].to_s.split(" ", 3)
      options if type == "overlay"
    end

    def namespace(root)
      File.readlink(File.join(root, "proc/self/ns/pid"))
    rescue SystemCallError
      MACHINE # not Linux, or nothing may be known
    end

    def read(root, name)
      File.binread(File.join(root, name))
    rescue SystemCallError
      ""
    end

    private_class_method :container?, :overlaid?, :overlay, :namespace, :read
  end
end
