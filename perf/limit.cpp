#include "perf/limit.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <sys/mman.h>

namespace cohort::perf {

Limit::Limit(const dataplane::Sa& sa, unsigned sas, bool encrypt,
             std::span<const std::uint32_t> inner_sizes,
             std::shared_ptr<const dataplane::MultiBuffer> library)
    : encrypt_(encrypt), library_(std::move(library)), manager_(library_->best()) {
  code_ = dataplane::code_of(sa.suite);
  for (unsigned i = 0; i < sas; ++i)
    keys_.push_back(std::make_unique<dataplane::SaKeys>(*manager_, sa));
  if (code_.hash == IMB_AUTH_HMAC_SHA_256 && manager_->used_arch == IMB_ARCH_AVX512) {
    second_ = library_->avx2();
  }
  for (const std::uint32_t size : inner_sizes)
    text_.push_back((size + 2 + code_.block - 1) / code_.block * code_.block);
  constexpr std::size_t huge = 2 << 20;
  const std::size_t size = (text_.size() * stride + huge - 1) / huge * huge;
  buffers_ = static_cast<std::uint8_t*>(std::aligned_alloc(huge, size));
  if (buffers_ == nullptr) throw std::bad_alloc();
  (void)madvise(buffers_, size, MADV_HUGEPAGE);
  std::memset(buffers_, 0x5a, size);
}

Limit::~Limit() {
  std::free(buffers_);
}

void Limit::run_gcm() {
  gcm_context_data context;
  const dataplane::GcmCalls calls = dataplane::gcm_of(*manager_, code_.key_size);
  const auto call = encrypt_ ? calls.encrypt : calls.decrypt;
  for (unsigned i = 0; i < packets(); ++i) {
    std::uint8_t* esp = buffer(i);
    std::uint8_t* text = esp + 16;
    call(&keys_[i % keys_.size()]->gcm, &context, text, text, text_[i], esp + stride - 64, esp, 8,
         text + text_[i], 16);
  }
}

void Limit::run_cbc(IMB_MGR& ciphers, IMB_MGR& hashes, unsigned from, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    IMB_JOB& job = jobs_[i];
    std::uint8_t* esp = buffer(from + i);
    const std::uint32_t text = text_[from + i];
    const dataplane::SaKeys::Cbc& keys = keys_[(from + i) % keys_.size()]->cbc;
    job.src = esp;
    job.dst = esp + 24;
    job.cipher_start_src_offset_in_bytes = 24;
    job.msg_len_to_cipher_in_bytes = text;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_hash_in_bytes = text + 24;
    job.enc_keys = keys.encrypt.data();
    job.dec_keys = keys.decrypt.data();
    job.key_len_in_bytes = code_.key_size;
    job.iv = esp + 8;
    job.iv_len_in_bytes = 16;
    job.u.HMAC._hashed_auth_key_xor_ipad = keys.inner.data();
    job.u.HMAC._hashed_auth_key_xor_opad = keys.outer.data();
    job.auth_tag_output = esp + 24 + text;
    job.auth_tag_output_len_in_bytes = code_.icv;
  }
  const auto cipher = [&](IMB_CIPHER_DIRECTION direction) {
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(&ciphers, jobs_.data(), n, IMB_CIPHER_CBC, direction,
                                    static_cast<IMB_KEY_SIZE_BYTES>(code_.key_size));
  };
  if (encrypt_) cipher(IMB_DIR_ENCRYPT);
  IMB_SUBMIT_HASH_BURST_NOCHECK(&hashes, jobs_.data(), n, code_.hash);
  if (!encrypt_) cipher(IMB_DIR_DECRYPT);
}

void Limit::run(unsigned way) {
  if (code_.aead) return run_gcm();
  IMB_MGR& ciphers = (way & 1) != 0 ? *second_ : *manager_;
  IMB_MGR& hashes = (way & 2) != 0 ? *second_ : *manager_;
  for (unsigned from = 0; from < packets(); from += IMB_MAX_BURST_SIZE)
    run_cbc(ciphers, hashes, from, std::min<unsigned>(IMB_MAX_BURST_SIZE, packets() - from));
}

}  // namespace cohort::perf
