//! Perl's Net::POP3: lines with LF ends over plain text, with CRLF ends over TLS, where
//! IO::Socket::SSL reads them; the script makes them alike.

use super::{Client, Policy, Transport, every_way, fetch_by_script};
use crate::corpus::Letter;
use crate::server::Server;

const SCRIPT: &str = r#"
use strict;
use warnings;
use Net::POP3;
my ($transport, $policy, $host, $port, $authority, $user, $password, $directory) = @ARGV;
my %tls = (SSL_ca_file => $authority, SSL_verifycn_name => $host);
my %implicit = $transport eq 'Tls' ? (SSL => 1, %tls) : ();
my $pop = Net::POP3->new($host, Port => $port, Timeout => 60, %implicit) or die "connect: $@";
if ($transport eq 'Stls') {
    $pop->starttls(%tls) or die 'STLS: ' . $pop->message;
}
defined $pop->login($user, $password) or die 'login: ' . $pop->message;
my ($count) = $pop->popstat;
for my $number (1 .. $count) {
    my $lines = $pop->get($number) or die "RETR $number: " . $pop->message;
    if ($transport ne 'Plain') {
        s/\r\n\z/\n/ for @$lines;
    }
    open my $file, '>:raw', "$directory/$number" or die $!;
    print $file @$lines;
    close $file or die $!;
    $pop->delete($number) or die 'DELE: ' . $pop->message if $policy eq 'Delete';
}
$pop->quit or die 'QUIT: ' . $pop->message;
print $count;
"#;

struct Perl;

impl Client for Perl {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        fetch_by_script(server, transport, policy, ["perl", "-e", SCRIPT])
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        Some(super::with_line_feeds(&letter.wire))
    }
}

every_way! {
    Perl;
    e2e_perl_plain_keep: Plain Keep,
    e2e_perl_plain_delete: Plain Delete,
    e2e_perl_stls_keep: Stls Keep,
    e2e_perl_stls_delete: Stls Delete,
    e2e_perl_tls_keep: Tls Keep,
    e2e_perl_tls_delete: Tls Delete,
}
