#pragma once

#include "config/schema.hpp"

/// The sections of a configuration file, one object each; their tables are in sections*.cpp.
namespace cohort::config::sections {

extern const SectionSpec file;
extern const SectionSpec logging;
extern const SectionSpec admin;
extern const SectionSpec metrics;
extern const SectionSpec lab;
extern const SectionSpec key_pair;
extern const SectionSpec trustpoint;
extern const SectionSpec pre_shared_key;
extern const SectionSpec isakmp;
extern const SectionSpec isakmp_policy;
extern const SectionSpec keepalive;
extern const SectionSpec access_line;
extern const SectionSpec profile;
extern const SectionSpec certificate_authority;
extern const SectionSpec key_server;
extern const SectionSpec server_group;
extern const SectionSpec rekey;
extern const SectionSpec sa;
extern const SectionSpec authorization;
extern const SectionSpec redundancy;
extern const SectionSpec redundancy_authorization;
extern const SectionSpec group_member;
extern const SectionSpec membership;
extern const SectionSpec dataplane;
extern const SectionSpec port_pair;

}  // namespace cohort::config::sections
