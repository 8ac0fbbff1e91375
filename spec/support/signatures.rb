# frozen_string_literal: true

# The signatures of sig/, as rbs reads them, beside the classes that they are about.

class Signatures
  DIRECTORY = File.expand_path("../../sig", __dir__)

  # One method: what its signatures allow to be passed, against the parameters that it has.
  class Method
    def initialize(label, live, signed)
      @label = label
      @live = live.parameters
      @functions = signed.method_types.map(&:type)
      @blocks = signed.method_types.map(&:block)
    end

    # Sentences about what differs.
    def faults = [*positional_faults, *keyword_faults, *block_faults].map { |fault| "#{@label} #{fault}" }

    private

    def positional_faults
      names = live(:req) + live(:opt)
      most = live?(:rest) ? Float::INFINITY : names.size
      @functions.flat_map do |function|
        given = function.required_positionals + function.optional_positionals
        [("may be called with #{given.size} arguments" if given.size > most),
         ("may be called with #{function.required_positionals.size} arguments" if function.required_positionals.size < live(:req).size),
         *given.zip(names).filter_map { |param, name| "calls #{name} #{param.name}" if param.name && name && param.name != name }]
      end.compact + [("never passes #{names.last}" if @functions.all? { |each| counted(each) < names.size })].compact
    end

    def counted(function) = function.rest_positionals ? Float::INFINITY : function.required_positionals.size + function.optional_positionals.size

    def keyword_faults
      required, optional = live(:keyreq), live(:key)
      signed = @functions.flat_map { |function| function.required_keywords.keys + function.optional_keywords.keys }.uniq
      unknown = live?(:keyrest) ? [] : signed - required - optional
      missing = @functions.flat_map { |function| required - function.required_keywords.keys }
      [*unknown.map { |name| "has no keyword #{name}" }, *missing.map { |name| "needs the keyword #{name}" },
       *(optional - signed).map { |name| "has no signature for the keyword #{name}" },
       *(signed & optional & @functions.flat_map { |function| function.required_keywords.keys }).map { |name| "can do without #{name}" }]
    end

    # One that takes anything, such as the methods of DSL, takes a block as well.
    def block_faults = live?(:block) && !live?(:rest) && @blocks.none? ? ["has no signature for its block"] : []

    def live(kind) = @live.filter_map { |each, name| name if each == kind }

    def live?(kind) = @live.any? { |each, _| each == kind }
  end

  def initialize
    require "rbs"
    loader = RBS::EnvironmentLoader.new
    loader.add(path: Pathname(DIRECTORY))
    @builder = RBS::DefinitionBuilder.new(env: RBS::Environment.from_loader(loader).resolve_type_names)
  end

  attr_reader :builder

  # Names of the classes and modules of ours that have signatures.
  def names = builder.env.class_decls.keys.select { |name| name.to_s.start_with?("::Tidegate") }

  # The class that is called so.
  def live(name) = Object.const_get(name.to_s)

  # The signatures of its own public methods, by their names.
  def instance_methods(name) = own(builder.build_instance(name), name)

  def singleton_methods(name) = own(builder.build_singleton(name), name).except(:new, :allocate)

  # What it is made of, from itself upward, as the signatures have it.
  def ancestors(name)
    builder.ancestor_builder.instance_ancestors(name).ancestors.map { |each| each.name.to_s.delete_prefix("::") }
  end

  def constants = builder.env.constant_decls.keys.select { |name| name.to_s.start_with?("::Tidegate") }

  # Raises where a type is named that there is not, or with other arguments than it takes.
  def validate
    validator = RBS::Validator.new(env: builder.env, resolver: RBS::Resolver::TypeNameResolver.new(builder.env))
    ours = ->(name) { name.to_s.start_with?("::Tidegate") }
    names.flat_map { |name| [*instance_methods(name).values, *singleton_methods(name).values] }
      .each { |signed| signed.method_types.each { |type| type.each_type { |each| validator.validate_type(each, context: nil) } } }
    builder.env.type_alias_decls.each { |name, entry| validator.validate_type(entry.decl.type, context: nil) if ours.(name) }
    builder.env.constant_decls.each { |name, entry| validator.validate_type(entry.decl.type, context: nil) if ours.(name) }
    builder.env.interface_decls.each_key { |name| builder.build_interface(name) if ours.(name) }
  end

  # What differs between the signatures of a class and the class; sentences.
  def faults(name)
    methods = live(name).public_instance_methods(false)
    methods |= [:initialize] if live(name).private_instance_methods(false).include?(:initialize)
    compare("#{name}#", methods, instance_methods(name)) { |method| live(name).instance_method(method) } +
      compare("#{name}.", live(name).singleton_methods(false), singleton_methods(name)) { |method| live(name).method(method) }
  end

  # The types that a method takes for each keyword, or for its first arguments; as text, without their module.
  def types(signed, keyword = nil)
    signed.method_types.flat_map do |type|
      function = type.type
      taken = keyword ? [function.optional_keywords.fetch(keyword)] : function.required_positionals + function.optional_positionals
      taken.map { |param| param.type.to_s.gsub(/(?:::)?Tidegate::Configuration::/, "") }
    end
  end

  private

  def own(definition, name)
    definition.methods.select { |method, signed| signed.defined_in == name && (signed.public? || method == :initialize) }
  end

  def compare(prefix, live, signed)
    [*(live - signed.keys).map { |method| "#{prefix}#{method} has no signature" },
     *(signed.keys - live).map { |method| "#{prefix}#{method} has a signature, and is not there" },
     *(live & signed.keys).flat_map { |method| Method.new("#{prefix}#{method}", yield(method), signed[method]).faults }]
  end
end
