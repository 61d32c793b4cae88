# frozen_string_literal: true

# The quick start in Ruby: one agent, one call, one event.
#
#   sutazai-c/bindings ruby FOLDER && ruby -I FOLDER examples/quickstart.rb
require 'json'
require 'sutazai_kernel'

# Input and output are JSON, here a string. What it raises is the call's error.
class Shouter < SutazaiKernel::Agent
  def handle(task) = JSON.generate(JSON.parse(task.input).upcase)
end

class Listener < SutazaiKernel::Listener
  def initialize(events)
    super()
    @events = events
  end

  def event(event) = @events << event
end

kernel = SutazaiKernel::Kernel.new
kernel.add_agent('{"name": "shouter", "skills": ["shout"]}', Shouter.new)
events = Queue.new
kernel.subscribe('greeting.*', Listener.new(events))
kernel.start

begin
  # Any operation by name, JSON in and out; calling an agent is one of them.
  answer = kernel.invoke('agent.call', JSON.generate(skill: 'shout', input: 'hello', timeout_ms: 1000))
  output = JSON.parse(answer)['output']
  puts "answer: #{JSON.generate(output)}"
rescue SutazaiKernel::KernelError::Failed => e
  abort "#{e.name}: #{e.reason}"
end

kernel.invoke('event.publish', JSON.generate(subject: 'greeting.sent', payload: output))
event = events.pop
puts "event: #{event.subject} #{event.payload}"
kernel.stop(5000)
