# frozen_string_literal: true

# What a file for Puma sees as @options, or as @config.options: Puma's Hash of options, by Puma's names. @options has what the file has said
# so far; @config.options also has what stronger sources say, and the defaults.

module Tidegate
  class PumaOptions
    # Puma's names for options that have other names here.
    NAMES = { binds: :bind, state: :state_path, restart_cmd: :restart_command, control_url: :admin, control_auth_token: :admin_token,
              fork_worker: :refork_after }.freeze

    # Of the options that may be repeated, those of which Puma has one.
    SINGLE = %i[refork_after].freeze

    # +dsl+ carries out what is assigned. +layer+ has what the file says; +others+ yields the Setting of an option that other sources
    # have, and is nil where only the file counts. +more+ are the options that Tidegate does not have, which plugins keep for themselves.
    def initialize(dsl, layer, others: nil, more: {})
      @dsl = dsl
      @layer = layer
      @others = others
      @more = more
    end

    # The value, nil where there is none.
    def [](key) = fetch(key, nil)

    # As Hash#fetch.
    def fetch(key, *default)
      key = key.to_sym
      return @more[key] if @more.key?(key)

      name = NAMES.fetch(key, key)
      setting = setting(name)
      return plain(name, setting.value) if setting
      return default.first unless default.empty?

      block_given? ? yield(key) : raise(KeyError, "key not found: #{key.inspect}")
    end

    def key?(key) = @more.key?(key.to_sym) || !setting(NAMES.fetch(key.to_sym, key.to_sym)).nil?
    alias has_key? key?
    alias include? key?

    def dig(key, *rest) = rest.empty? ? self[key] : self[key]&.dig(*rest)

    # Sets an option, as the method of the file does it that has its name.
    def []=(key, value)
      @dsl.assign(key.to_sym, value) or @more[key.to_sym] = value
    end
    alias store []=

    def merge!(others)
      others.each { |key, value| self[key] = value }
      self
    end
    alias update merge!

    # What there is of an option, as a list.
    def all_of(key) = Array(self[key])

    # Puma keeps one such Hash for each source; here the strongest counts.
    def file_options = self
    alias user_options file_options
    alias default_options file_options
    alias final_options file_options

    # By Puma's names.
    def to_h
      back = NAMES.invert
      names = Configuration::OPTIONS.each_key.reject { |name| Configuration::OPTIONS[name].stands_for }
      names.filter_map { |name| [back.fetch(name, name), self[back.fetch(name, name)]] if setting(name) }.to_h.merge(@more)
    end

    private

    def setting(name)
      @layer[name] || (@others && (@others[name] || default(name)))
    end

    def default(name)
      option = Configuration::OPTIONS[name]
      Configuration::Setting.new(option.default, "default") if option && !option.stands_for && !option.default.nil?
    end

    # An address is text for Puma.
    def plain(name, value)
      return plain(name, value.last) if SINGLE.include?(name) && value.is_a?(Array)
      return value.map { |each| plain(name, each) }.freeze if value.is_a?(Array)
      return value.to_s.sub(/\?.*/, "") if name == :admin && value

      value.is_a?(Configuration::Address) ? value.to_s : value
    end
  end
end
