# frozen_string_literal: true

# The conformance cases (tests/conformance): the runner of the UniFFI host, in Ruby.

require 'json'
require 'minitest/autorun'
require 'timeout'
require 'tmpdir'
require 'sutazai_kernel'

# Ruby reports a thread of `Hang` that is cancelled before it ran.
Thread.report_on_exception = false

FOLDER = File.expand_path('../conformance', __dir__)
# Longest wait for an answer in real time, in seconds.
PATIENCE = 30

class Echo < SutazaiKernel::Agent
  def handle(task) = task.input
end

class Fail < SutazaiKernel::Agent
  def handle(_task) = raise(SutazaiKernel.agent_failed('failed on purpose'))
end

class Hang < SutazaiKernel::AsyncAgent
  def handle(_task) = sleep
end

class Note < SutazaiKernel::MessageWorker
  def handle(_message) = nil
end

class Crash < SutazaiKernel::MessageWorker
  def handle(_message) = raise(SutazaiKernel.agent_failed('failed on purpose'))
end

def rooms
  Dir[File.join(FOLDER, '*.json')].sort.map { |path| JSON.parse(File.read(path)) }
end

# A kernel as a case wants it, and what was saved on the way.
class Bench
  def initialize(given, folder)
    @virtual = given.fetch('clock', 'virtual') == 'virtual'
    @saved = {}
    @pending = []
    config = { seed: given.fetch('seed', 1), clock: given.fetch('clock', 'virtual') }
    config[:data_dir] = folder if given['data_dir']
    @kernel = SutazaiKernel::Kernel.new(JSON.generate(config))
    given.fetch('agents', []).each { |name| add(name) }
    workers = { 'note' => Note, 'crash' => Crash }
    given.fetch('workers', []).each do |name|
      @kernel.add_message_worker(name, workers.fetch(name).new)
    end
    @kernel.start if given.fetch('start', true)
  end

  # A step of `before`.
  def prepare(step)
    ticket = submit(step)
    return @pending << ticket if step['pending']

    came = outcome(ticket)
    raise "#{step['op']} before: #{came}" unless came.key?('answer')

    step.fetch('save', {}).each { |name, pointer| @saved[name] = pointed(came['answer'], pointer) }
  end

  # `{"answer": …}`, `{"error": …}` or `{"pending": true}`.
  def run(step) = outcome(submit(step))

  # The value with `"$name"` replaced by what was saved under that name.
  def filled(value)
    case value
    when String then value.start_with?('$') ? @saved.fetch(value[1..], value) : value
    when Array then value.map { |item| filled(item) }
    when Hash then value.transform_values { |item| filled(item) }
    else value
    end
  end

  def close
    @kernel.stop(0)
    # What hangs learns now that nobody waits.
    @kernel.advance(0) if @virtual
  end

  private

  def add(name)
    card = JSON.generate(name: name, skills: [name])
    case name
    when 'echo' then @kernel.add_agent(card, Echo.new)
    when 'fail' then @kernel.add_agent(card, Fail.new)
    when 'hang' then @kernel.add_async_agent(card, Hang.new)
    else raise "there is no test agent #{name}"
    end
  end

  def submit(step)
    ticket = @kernel.submit(step['op'], JSON.generate(filled(step.fetch('request', {}))))
    @kernel.advance(step.fetch('advance_ms', 0)) if @virtual
    ticket
  end

  def outcome(ticket)
    text = @virtual ? ticket.take : Timeout.timeout(PATIENCE) { ticket.answer }
    text ? { 'answer' => JSON.parse(text) } : { 'pending' => true }
  rescue Timeout::Error
    { 'pending' => true }
  rescue SutazaiKernel::KernelError::Failed => e
    { 'error' => JSON.parse(e.details) }
  end

  # What a JSON pointer (RFC 6901) points at.
  def pointed(document, pointer)
    pointer.split('/').drop(1).reduce(document) do |place, token|
      token = token.gsub('~1', '/').gsub('~0', '~')
      place.fetch(place.is_a?(Array) ? Integer(token) : token)
    end
  end
end

def matches?(want, got)
  case want
  when '$any' then true
  when '$number' then got.is_a?(Numeric)
  when '$string' then got.is_a?(String)
  when '$array' then got.is_a?(Array)
  when Hash
    keys = want.keys - ['$partial']
    got.is_a?(Hash) && (want.key?('$partial') ? (keys - got.keys).empty? : keys.sort == got.keys.sort) &&
      keys.all? { |key| matches?(want[key], got[key]) }
  when Array
    got.is_a?(Array) && want.size == got.size && want.zip(got).all? { |w, g| matches?(w, g) }
  else want == got
  end
end

# Of an error, only what the expectation names is compared.
def agrees?(want, got)
  return matches?(want, got) unless want.key?('error')

  got.key?('error') && want['error'].all? { |key, value| got['error'][key] == value }
end

class ConformanceTest < Minitest::Test
  rooms.each do |room|
    room['cases'].each_with_index do |test, number|
      define_method(format('test_%s_%02d %s', room['room'], number, test['name'])) do
        Dir.mktmpdir do |folder|
          bench = Bench.new(test.fetch('given', {}), folder)
          begin
            test.dig('given', 'before')&.each { |step| bench.prepare(step) }
            came = bench.run(test)
            want = bench.filled(test['expect'])
            assert agrees?(want, came), "expected #{want}\n     got #{came}"
          ensure
            bench.close
          end
        end
      end
    end
  end

  def test_every_operation_has_a_success_and_a_failure
    kernel = SutazaiKernel::Kernel.new('{"clock": "virtual"}')
    operations = JSON.parse(kernel.submit('kernel.operations').take)['operations']
    refute_empty operations
    cases = rooms.flat_map { |room| room['cases'] }
    %w[answer error].each do |kind|
      have = cases.select { |test| test['expect'].key?(kind) }.map { |test| test['op'] }
      assert_empty operations - have, "no case that expects: #{kind}"
      assert_empty have - operations, 'a case of no operation'
    end
  end
end
