//! Ruby's Net::POP: exact octets. It knows no STLS.

use super::{Client, Policy, Transport, every_way, fetch_by_script};
use crate::corpus::Letter;
use crate::server::Server;

const SCRIPT: &str = r##"
require 'net/pop'
require 'openssl'
transport, policy, host, port, authority, user, password, directory = ARGV
pop = Net::POP3.new(host, port.to_i)
pop.read_timeout = 60
if transport == 'Tls'
  pop.enable_ssl({ ca_file: authority, verify_mode: OpenSSL::SSL::VERIFY_PEER })
end
count = 0
pop.start(user, password) do |session|
  session.each_mail do |mail|
    count += 1
    message = mail.pop
    raise "#{message.bytesize} octets, #{mail.length} announced" if message.bytesize != mail.length
    raise 'no unique-id' if mail.unique_id.empty?
    File.binwrite(File.join(directory, count.to_s), message)
    mail.delete if policy == 'Delete'
  end
end
print count
"##;

struct Ruby;

impl Client for Ruby {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        fetch_by_script(server, transport, policy, ["ruby", "-e", SCRIPT])
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        Some(letter.wire.clone())
    }
}

every_way! {
    Ruby;
    e2e_ruby_plain_keep: Plain Keep,
    e2e_ruby_plain_delete: Plain Delete,
    e2e_ruby_tls_keep: Tls Keep,
    e2e_ruby_tls_delete: Tls Delete,
}
